"""Source files: found, opened, proven whole, cut into records."""
