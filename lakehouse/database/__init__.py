"""Databases of the catalog and the ledger: how they are opened, what we left in them, and how a lost one is told."""
