"""The floor: settings, the Iceberg catalog, table definitions, window commits, the ledger, the dbt plugin."""
