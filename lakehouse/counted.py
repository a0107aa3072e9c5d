"""Numbers of things, as a person reads them."""


def counted(number: int, noun: str) -> str:
    """A number of things whose plural takes an s: `1 record`, `2 records`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
