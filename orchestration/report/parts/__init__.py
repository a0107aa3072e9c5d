"""What a report consists of: each part a value of its own, made of verdicts, the ledger or the tables."""
