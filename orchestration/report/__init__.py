"""What a person reads: pages, tables, figures and evidence, made of verdicts."""
