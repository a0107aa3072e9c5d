"""The benchmark: what the ingest costs, as ratios that mean the same on every machine."""
