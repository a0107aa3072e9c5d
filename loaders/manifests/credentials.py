"""Credentials in the URLs of a manifest: left out as it is read, and its sources say that they had some.

So nothing of them is stored or shown, whoever reads the manifest. Called by `loaders.manifests.manifest`.
"""

import re
from typing import Any

from lakehouse.shown_urls import without_credentials


def may_hold_urls(content: bytes) -> bool:
    """Whether there is a URL in JSON: it needs its two slashes, or escapes of them."""
    return re.search(rb"://|\\", content) is not None


def leave_out_credentials(document: Any) -> tuple[Any, list[int]]:
    """A manifest without the credentials of its URLs, and the numbers of the sources that had some."""
    shown = _shown(document)
    if shown == document or not isinstance(document, dict) or not isinstance(document.get("assets"), list):
        return shown, []
    pairs = zip(document["assets"], shown["assets"], strict=True)
    return shown, [number for number, (source, kept) in enumerate(pairs) if source != kept]


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shown(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shown(each) for each in value]
    return without_credentials(value) if isinstance(value, str) else value


def mark_bearers(document: Any, bearers: list[int]) -> Any:
    """A valid manifest in which the sources that had credentials say so, which is no field of the format."""
    for number in bearers:
        document["assets"][number]["had_credentials"] = True
    return document
