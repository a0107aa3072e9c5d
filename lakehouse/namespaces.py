"""Where tables lie in the catalog: one namespace per layer, upstream first; and the Bronze table that is no asset."""

BRONZE, SILVER, GOLD = NAMESPACES = ("bronze", "silver", "gold")

QUARANTINE = "quarantine"
"""Table of the records that were read and not loaded."""


def bronze(table: str) -> str:
    """Identifier of a Bronze table."""
    return f"{BRONZE}.{table}"
