"""What of a URL may be stored and shown: all but what lets somebody in.

One place says so, for manifests as they are read (`loaders.manifests.credentials`) and for the words of a store's
library (`loaders.sources.stores`).
"""

import re
from urllib.parse import unquote

_BEGINS_A_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_URL_IN_TEXT = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)

_TOKENS_AS_USERS = ("http", "https")
"""Schemes in which a name before the `@` may be a token; elsewhere it is an account, a container, a user."""

_SECRETS = re.compile(
    r"sig$|signature|token|secret|passw|^pwd$|credential|api.?key|access.?key|auth(?!or(?!iz))|session|jwt|bearer"
    r"|^(key|code)$|^x-(amz|goog|ms)-"
)
"""Names of parameters, in small letters, that hold a secret or belong to a signature."""


def without_credentials(text: str) -> str:
    """A URL, or a text with URLs in it, without users, passwords, tokens and signatures."""
    if "://" not in text:
        return text
    if _BEGINS_A_URL.match(text):
        return _shown(text)
    return _URL_IN_TEXT.sub(lambda found: _shown(found[0]), text)


def _shown(url: str) -> str:
    scheme, _, rest = url.partition("://")
    place, mark, query = _split(_without_user(scheme.lower(), rest))
    parameters = re.split("[&#]", query)
    kept = [each for each in parameters if not _is_secret(each)]
    if len(kept) < len(parameters):
        mark, query = mark if kept else "", "&".join(kept)
    return f"{scheme}://{place}{mark}{query}"


def _split(rest: str) -> tuple[str, str, str]:
    at = re.search("[?#]", rest)
    return (rest[: at.start()], at[0], rest[at.end() :]) if at else (rest, "", "")


def _without_user(scheme: str, rest: str) -> str:
    """What follows the user and the password; a secret key of S3 may hold slashes."""
    user, found, place = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")
    if found:
        is_secret = ":" in user or scheme in _TOKENS_AS_USERS
        return place + rest[len(user) + 1 + len(place) :] if is_secret else rest
    has_password = re.match(r"[^/?#@:]*:(?!\d*(?:[/?#]|$)).*@", rest)
    return rest[has_password.end() :] if has_password else rest


def _is_secret(parameter: str) -> bool:
    name, is_given, _ = parameter.partition("=")
    return bool(is_given and _SECRETS.search(unquote(name).lower()))
