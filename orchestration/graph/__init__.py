"""Everything that Dagster draws: assets, checks, partitions, events, sensors, schedules."""
