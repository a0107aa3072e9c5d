"""The door that `profiles.yml` names: dbt-duckdb looks here for its plugin, which lives in `lakehouse.dbt.plugin`."""

from lakehouse.dbt.plugin import Plugin

__all__ = ["Plugin"]
