"""The `omni` command, one file per group of commands."""
