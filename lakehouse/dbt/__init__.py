"""dbt's half of a build: the dbt-duckdb plugin, and test results as check results."""
