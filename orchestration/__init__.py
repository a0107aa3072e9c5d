"""The Dagster graph, readiness verdicts, the main job and the `omni` command."""
