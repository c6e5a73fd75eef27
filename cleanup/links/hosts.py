"""Hosts as a browser sees them; the only module that knows the URL library."""

import re
import unicodedata
from functools import lru_cache
from typing import Final

import can_ada

# Ideographic, full-width and half-width full stops: a browser reads each as a dot.
DOTS: Final = ".。．｡"
# Characters that host mapping drops: zero-width space, word joiner, BOM, soft hyphen, variation selector 16.
DROPPED: Final = "\u200b\u2060\ufeff\u00ad\ufe0f"
_PLAIN_HOST: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\Z")
_HOST_CHARACTERS: Final = re.compile(r"[a-z0-9_-]+\Z")
_POLICY_HOST: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]\Z")


def browser_host(authority: str) -> str:
    """The host that a browser would go to, in lower case, or an empty string where there is none.

    `authority` is what stands between `://` and the path: user info and port are ignored.
    """
    return _remembered_host(authority) if len(authority) <= _LONGEST_REMEMBERED else _host(authority)


def _host(authority: str) -> str:
    host = authority.rpartition("@")[2]
    name, colon, port = host.rpartition(":")
    if colon and (not port or (port.isascii() and port.isdigit())):
        host = name
    host = host.lower() if host.isascii() else host
    if _PLAIN_HOST.match(host):
        return host
    return _mapped(host).rstrip(".")


# What a post writes is as long as its author likes: only what is of a host's length is worth remembering.
_LONGEST_REMEMBERED: Final = 512
_remembered_host: Final = lru_cache(maxsize=4096)(_host)


@lru_cache(maxsize=4096)
def maps_into_host(character: str) -> bool:
    """Whether host mapping turns one non-ASCII character into letters, digits or hyphens."""
    if character.isascii():
        return False
    plain = unicodedata.normalize("NFKC", character).lower()
    return bool(_HOST_CHARACTERS.match(plain)) and _mapped(f"a{character}a.com") == f"a{plain}a.com"


def is_policy_host(host: str) -> bool:
    """Whether a policy can name this host: lower-case ASCII labels with dots between them."""
    return len(host) <= 253 and bool(_POLICY_HOST.match(host)) and _mapped(host) == host


def _mapped(host: str) -> str:
    # The library drops tabs and line breaks and cuts at delimiters; here such a host is none.
    if any(mark in host for mark in "/\\?#@\t\n\r"):
        return ""
    try:
        return str(can_ada.parse(f"https://{host}/").hostname)
    except (ValueError, TypeError):
        # A host that no browser opens is nobody's link; TypeError is a lone surrogate.
        return ""
