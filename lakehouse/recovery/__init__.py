"""Recovery: a catalog and a ledger from the warehouse alone, after their databases were lost, broken or set back."""
