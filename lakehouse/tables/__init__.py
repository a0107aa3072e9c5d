"""What a table is and how it is written: catalog, contracts, Bronze tables, commits, objects, digests."""
