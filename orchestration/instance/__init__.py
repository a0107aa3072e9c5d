"""The Dagster instance under OMNI_HOME: its home, its storage, which of its runs are alive."""
