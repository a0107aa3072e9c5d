"""Maintenance: what is expired, compacted and removed, and which snapshots stay readable."""
