"""Where a URL begins and ends in running text, and what its parts are."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from cleanup.links.hosts import DOTS, DROPPED, browser_host, maps_into_host

# Printable ASCII but for <>"{}|\^ and backtick, which end a URL as white space and controls do.
_URL: Final = r"!#-;=?-\[\]_a-z~"
_AUTHORITY_END: Final = "/?#"
_AUTHORITY: Final = re.compile(r"[!$-.0-;=@-\[\]_a-z~]*+")
_TAIL: Final = re.compile(rf"[{_URL}]*+")
_ESCAPED_TAIL: Final = re.compile(rf"(?:[{_URL}]|\\/)*")
# The same without #, which begins a fragment: no short host's token has one.
_NO_FRAGMENT: Final = r"!$-;=?-\[\]_a-z~"
_QUERY_TAIL: Final = re.compile(rf"[{_NO_FRAGMENT}]*+")
_ESCAPED_QUERY_TAIL: Final = re.compile(rf"(?:[{_NO_FRAGMENT}]|\\/)*")
_SLASHES: Final = re.compile(r"/*+")
_ESCAPED_SLASHES: Final = re.compile(r"(?:\\/|/)*")
_BRACED: Final = re.compile(rf"[{_URL}\"]*+")
_LONGEST_TOKEN: Final = 128
_PORT: Final = re.compile(r"[0-9]*+")
_ALNUM: Final = re.compile(r"[0-9A-Za-z]*+")
GIVEN_BACK: Final = ".,;:!?'"
_WHOLE: Final = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*+):)?[/\\]{2,}+([^/\\?#]*+)(.*)\Z", re.DOTALL)
_WHOLE_BARE: Final = re.compile(
    rf"([0-9A-Za-z_-]++(?:[{DOTS}][0-9A-Za-z_-]++)+\.?(?::[0-9]*+)?)([/?#].*)?\Z", re.DOTALL
)


# The path before a short host's token and the lengths it may have, for a host and what follows it.
TokenLengths = Callable[[str, str], tuple[str, tuple[int, ...]] | None]


# These two, like spans and verdicts, are tuples: one is made for every link that is looked at, and that takes a quarter
# of the time which a frozen dataclass takes.
class Url(NamedTuple):
    """One URL, cut into parts.

    `scheme` is lower case and empty where the URL has none. `authority` and `rest` are as written
    (`\\/` read as `/`); `rest` is everything from the path on. `host` is mapped as a browser does,
    and empty where no browser would open the URL.
    """

    scheme: str
    authority: str
    rest: str

    @property
    def host(self) -> str:
        """The host that a browser would go to."""
        return browser_host(self.authority)

    @property
    def is_web(self) -> bool:
        """Whether the URL names http or https."""
        return self.scheme in ("http", "https")

    @property
    def target(self) -> str:
        """What stands after `://`."""
        return self.authority + self.rest


class Extent(NamedTuple):
    """A URL found in a text, with its offsets; `cut` says that text is glued to its end."""

    start: int
    end: int
    url: Url
    cut: bool = False


def whole_url(value: str) -> Url | None:
    """Read a whole value (an attribute, a Markdown target, a decoded parameter) as one URL.

    Such a value ends nowhere but at its end; `\\` counts as `/`, as in a browser.
    """
    value = value.strip()
    if found := _WHOLE.match(value):
        scheme, authority, rest = found.groups()
        return Url((scheme or "").lower(), authority, rest.replace("\\", "/"))
    if found := _WHOLE_BARE.match(value):
        return Url("", _plain_dots(found.group(1)), (found.group(2) or "").replace("\\", "/"))
    return None


class UrlReader:
    """Reads URLs out of one text; none ends with a character of `given_back`."""

    def __init__(self, text: str, given_back: str, token_lengths: TokenLengths) -> None:
        self._text = text
        self._given_back = given_back
        self._token_lengths = token_lengths

    def after_scheme(self, start: int, scheme: str, after: int, limit: int) -> Extent:
        """The URL whose scheme stands at `start`; `after` is the offset behind `://`, `limit` where another begins."""
        text = self._text
        escaped = text[after - 1] == "/" and text[after - 2] == "\\"
        slashes = _ESCAPED_SLASHES if escaped else _SLASHES
        host_start = after
        if scheme in ("http", "https"):
            host_start = _end_of(slashes, text, after, limit)
        host_end = _authority_end(text, host_start, limit)
        end, cut = self._end(text[host_start:host_end], host_start, host_end, limit, escaped=escaped)
        host_end = min(host_end, end)
        rest = text[host_end:end]
        url = Url(scheme, text[host_start:host_end], rest.replace("\\/", "/") if escaped else rest)
        return Extent(start, end, url, cut=cut)

    def without_scheme(self, start: int, host_start: int, host_end: int, limit: int) -> Extent:
        """The URL whose host stands at `host_start`, with no scheme before it; `start` may take in `//`."""
        text = self._text
        authority_end = host_end
        if text.startswith("./", host_end, limit):
            authority_end += 1
        elif text.startswith(":", host_end, limit):
            port_end = _end_of(_PORT, text, host_end + 1, limit)
            authority_end = port_end if port_end > host_end + 1 else host_end
        end, cut = authority_end, False
        if authority_end < limit and text[authority_end] in _AUTHORITY_END:
            authority = _plain_dots(text[host_start:authority_end])
            end, cut = self._end(authority, host_start, authority_end, limit, escaped=False)
        authority_end = min(authority_end, end)
        url = Url("", _plain_dots(text[host_start:authority_end]), text[authority_end:end])
        return Extent(start, end, url, cut=cut)

    def _end(self, authority: str, host_start: int, host_end: int, limit: int, *, escaped: bool) -> tuple[int, bool]:
        """Where the URL ends, and whether it does so because text is glued to a token of known length.

        Only a query may follow such a token. It is looked for before the rest of the URL is read, so
        that many tokens glued together cost no more than their length.
        """
        token_end = self._token_end(authority, host_end, limit, escaped=escaped)
        if not token_end:
            return self._tail_end(host_start, host_end, limit, _ESCAPED_TAIL if escaped else _TAIL), False
        if not self._text.startswith("?", token_end, limit):
            return token_end, True
        tail = _ESCAPED_QUERY_TAIL if escaped else _QUERY_TAIL
        return self._tail_end(host_start, host_end, limit, tail), False

    def _token_end(self, authority: str, host_end: int, limit: int, *, escaped: bool) -> int:
        """Where a short host's token of known length ends, or 0 where none stands there."""
        text = self._text
        ahead = text[host_end : min(limit, host_end + _LONGEST_TOKEN)]
        ahead = ahead.replace("\\/", "/") if escaped else ahead
        token = self._token_lengths(browser_host(authority), ahead) if ahead.startswith("/") else None
        if token is None:
            return 0
        path, lengths = token
        run = _end_of(_ALNUM, ahead, len(path), len(ahead)) - len(path)
        for length in lengths:
            if run >= length:
                end = host_end
                for _ in range(len(path) + length):
                    end += 2 if text[end] == "\\" else 1
                return end
        return 0

    def _tail_end(self, host_start: int, host_end: int, limit: int, tail: re.Pattern[str]) -> int:
        text, end = self._text, host_end
        if host_end < limit and text[host_end] in "/?#\\":
            end = _end_of(tail, text, host_end, limit)
            while end < limit and text[end] == "{" and text[end - 1] == "=":
                closed = _braces_end(text, end, limit)
                if closed == end:
                    break
                end = _end_of(tail, text, closed, limit)
        return self._without_trailing(host_start, end)

    def _without_trailing(self, start: int, end: int) -> int:
        """Give trailing punctuation and unbalanced closing brackets back to the text."""
        text = self._text
        surplus: dict[str, int] = {}
        while end > start:
            mark = text[end - 1]
            if mark in ")]":
                if mark not in surplus:
                    opening = "(" if mark == ")" else "["
                    surplus[mark] = text.count(mark, start, end) - text.count(opening, start, end)
                if surplus[mark] <= 0:
                    return end
                surplus[mark] -= 1
            elif mark not in self._given_back:
                return end
            end -= 1
        return end


def _plain_dots(host: str) -> str:
    return host if host.isascii() else "".join("." if mark in DOTS else mark for mark in host)


def _authority_end(text: str, start: int, limit: int) -> int:
    end = start
    while True:
        end = _end_of(_AUTHORITY, text, end, limit)
        if end >= limit or text[end].isascii():
            return end
        following = _past_host_characters(text, end, start, limit)
        if following == end:
            return end
        end = following


def _past_host_characters(text: str, position: int, start: int, limit: int) -> int:
    """Past non-ASCII characters that a browser reads as part of the host; `position` where there is none."""
    end = position
    while end < limit and not text[end].isascii():
        mark = text[end]
        if mark in DOTS:
            if end == start or not _is_host_character(text, end - 1) or not _is_host_character(text, end + 1):
                break
        elif mark not in DROPPED and not maps_into_host(mark):
            break
        end += 1
    # Dropped characters at the very end belong to the text, unless more of the URL follows.
    if end >= limit or not (text[end] in _AUTHORITY_END or _AUTHORITY.fullmatch(text[end])):
        while end > position and text[end - 1] in DROPPED:
            end -= 1
    return end


def _is_host_character(text: str, position: int) -> bool:
    if position >= len(text):
        return False
    mark = text[position]
    if mark.isascii():
        return mark.isalnum() or mark in "-_"
    return mark in DROPPED or maps_into_host(mark)


def _braces_end(text: str, start: int, limit: int) -> int:
    """Behind the brace that closes the one at `start`, or `start` where none does."""
    depth, position = 0, start
    while position < limit:
        if text[position] == "{":
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position + 1
        else:
            return start
        position = _end_of(_BRACED, text, position + 1, limit)
    return start


def _end_of(pattern: re.Pattern[str], text: str, start: int, limit: int) -> int:
    """Where a pattern that can match nothing ends."""
    found = pattern.match(text, start, limit)
    return found.end() if found else start
