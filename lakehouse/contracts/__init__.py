"""Data contracts: what a record is, and the Bronze asset that it makes; files, read and judged. Knows no table."""
