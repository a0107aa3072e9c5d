"""The language of a text, as its letters tell."""

import py3langid

_SEEN = 250
"""Characters that are looked at: more tell little more, and take as much longer."""
_LEAST = 20
UNKNOWN = "und"
"""ISO 639-2's word for what cannot be told, such as a number."""


def language_of(text: str) -> str:
    """ISO 639-1 code of the language that a text is most likely in, or `und`."""
    seen = text[:_SEEN]
    if sum(map(str.isalpha, seen)) < _LEAST:
        return UNKNOWN
    code, _ = py3langid.classify(seen)
    return str(code)
