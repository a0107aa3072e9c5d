"""From admitted sources to committed Bronze: coverage, plan, dlt pipelines, sink, checks."""
