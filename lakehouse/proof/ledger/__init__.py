"""What the ledger says by itself: rows that are as they were recorded, coverage that fits, checks asked again."""
