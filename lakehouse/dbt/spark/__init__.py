"""Spark in the place of DuckDB as what computes rows: its jars, its session, and the plugin of dbt's target spark."""
