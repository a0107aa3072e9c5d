"""What a check of a Bronze partition finds. Called by the checks of each kind and by `loaders.bronze.checks`."""

Finding = tuple[str, int]
"""Message, number of failures."""
