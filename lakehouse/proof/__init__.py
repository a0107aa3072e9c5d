"""Do the ledger and the tables say the same? Evidence recomputed from the tables alone, and compared."""
