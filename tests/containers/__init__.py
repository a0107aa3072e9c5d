"""The containers of infra/compose.yaml, built and started for real: `make containers` (OMNI_CONTAINERS=1), a quarter of an hour."""
