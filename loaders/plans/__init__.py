"""What coverage, the kinds and the sink hand on: covered files, plans of partitions, staged files, findings."""
