"""Runs of the graph in this process: the main job and backfills."""
