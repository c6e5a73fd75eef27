"""Every URL of a running text, in order: with a scheme, deep links, and known hosts without a scheme."""

import re
from dataclasses import dataclass
from typing import Final

from cleanup.links.host_table import HostTable
from cleanup.links.urls import Extent, Url, UrlReader

# The look-behind stands behind the first character, so that the engine can skip to one; it makes each
# run be tried once, so that a long run without a dot costs no more than its length.
_HOST_RUN: Final = re.compile(r"[0-9A-Za-z_-](?<![0-9A-Za-z_-]{2})[0-9A-Za-z_-]*+(?:[.。．｡][0-9A-Za-z_-]++)+")
_HOST_RUN_HERE: Final = re.compile(r"[0-9A-Za-z_-]++(?:[.。．｡][0-9A-Za-z_-]++)+")
_START_HERE: Final = re.compile(rf"(?://|(?![_-]))({_HOST_RUN_HERE.pattern})")
_SCHEME_HERE: Final = re.compile(r"([A-Za-z][0-9A-Za-z+.-]*+):(?://|\\/\\/)")
_SCHEME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-")
# A URL without scheme starts after none of these (letters and digits never stand before a whole run).
_NO_START_AFTER: Final = frozenset(".-_@/=%:&#")
# A text in which one plainly written URL stands alone: around it is no ASCII but blanks and a few marks that belong to
# no link, none of them beside it. Most texts that authors paste a link into are so. What a URL may have and that
# expression lacks (user info, a port, brackets, braces, quotes, marks that are given back) is for _Scan.
_LONE: Final = re.compile(
    r"[^\"$-*\--:<-~]*+(?<![!-~])(?:([A-Za-z][0-9A-Za-z+.-]*+)://)?((?![_-])[0-9A-Za-z_-]++(?:\.[0-9A-Za-z_-]++)*)"
    r"([/?#][!#-&*-;=?-Z_a-z~]*+)?(?<![!*,.:;?_~])(?![!-~])[^\"$-*\--:<-~]*+\Z"
)
_MISSPELLED_WEB: Final = re.compile(r"(?:\A|[^A-Za-z])(?:h[a-z*]{1,3}ps?|t{1,2}ps?)\Z", re.IGNORECASE)
_LONGEST_MISSPELLED: Final = 8
_LAST_ASCII: Final = "\x7f"


@dataclass(frozen=True, slots=True)
class _Start:
    start: int
    after: int
    scheme: str
    splits: bool


class UrlScanner:
    """Finds URLs for one policy: hosts that the policy does not know need a scheme to be seen."""

    def __init__(self, table: HostTable) -> None:
        self._table = table

    def scan(self, text: str, given_back: str) -> list[Extent]:
        """All URLs of the text, ascending, none inside another; `given_back` is what none ends with."""
        return _Scan(self._table, text, given_back).run()

    def lone(self, text: str) -> Extent | None:
        """The text's one URL, the same that `scan` finds, where that can be told at once: nothing else in the text can
        be a link then, or part of one. None where it takes a closer look."""
        found = _LONE.match(text)
        if found is None:
            return None
        written, host, rest = found.groups("")
        scheme = written.lower()
        start, end = found.span(2)
        if "://" in rest or (rest and self._is_cut(host, rest)):
            return None
        if scheme:
            start = found.start(1)
            # Without a path, a host may go on in characters that a browser maps.
            if not (self._is_scheme(scheme) and (rest or text[end : end + 1] <= _LAST_ASCII)):
                return None
        elif not _is_known(self._table, host):
            return None
        extent = Extent(start, end + len(rest), Url(scheme, host, rest))
        return extent if scheme or not _is_mention(self._table, extent) else None

    def _is_scheme(self, scheme: str) -> bool:
        if scheme in ("http", "https"):
            return True
        return not scheme.endswith(("http", "https")) and self._table.is_scheme(scheme)

    def _is_cut(self, host: str, rest: str) -> bool:
        """Whether a short host's token may end before the URL does, unless by a query."""
        token = self._table.token_lengths(host.lower(), rest)
        if token is None:
            return False
        path, lengths = token
        return len(rest) - len(path) not in lengths or not rest[len(path) :].isalnum()

    def is_held_back(self, text: str, position: int) -> bool:
        """Whether a URL without scheme could begin at `position`, did the mark before it not forbid it."""
        found = _START_HERE.match(text, position) if text[position - 1] in _NO_START_AFTER else None
        if found is None:
            return False
        # Where a scheme is glued on, the host ends before it.
        return text.startswith(("://", r":\/\/"), found.end()) or _is_known(self._table, found[1])


class _Scan:
    def __init__(self, table: HostTable, text: str, given_back: str) -> None:
        self._table = table
        self._text = text
        self._reader = UrlReader(text, given_back, table.token_lengths)
        self._starts = self._schemes()
        self._limits = self._split_limits()
        self._position = 0
        self._cut = False
        self._found: list[Extent] = []

    def run(self) -> list[Extent]:
        starts, index = self._starts, 0
        runs = _HOST_RUN.finditer(self._text)
        host = next(runs, None)
        while host or index < len(starts):
            if index < len(starts) and (host is None or starts[index].start <= host.start()):
                if starts[index].start >= self._position:
                    self._take(self._with_scheme(index))
                index += 1
            elif host:
                if host.start() >= self._position:
                    self._without_scheme(host.start(), host.end(), index)
                host = next(runs, None)
            self._after_a_cut(index)
        return self._found

    def _schemes(self) -> list[_Start]:
        starts = self._separators("://") if "://" in self._text else []
        if r":\/\/" in self._text:
            starts += self._separators(r":\/\/")
            starts.sort(key=lambda start: start.start)
        return starts

    def _separators(self, separator: str) -> list[_Start]:
        text, found = self._text, []
        at = text.find(separator)
        while at >= 0:
            scheme = self._scheme_before(at)
            if scheme:
                start = at - len(scheme)
                belongs = text.startswith("=", start - 1) or text.endswith(("://", r":\/\/"), 0, start)
                splits = scheme not in ("http", "https") or not (start and belongs)
                found.append(_Start(start, at + len(separator), scheme, splits))
            at = text.find(separator, at + 1)
        return found

    def _scheme_before(self, at: int) -> str:
        text = self._text
        before = text[max(0, at - 5) : at].lower()
        if before.endswith("https"):
            return "https"
        if before.endswith("http"):
            return "http"
        start = at
        floor = max(0, at - self._table.longest_scheme - 1)
        while start > floor and text[start - 1] in _SCHEME_CHARACTERS:
            start -= 1
        scheme = text[start:at].lower()
        return scheme if self._table.is_scheme(scheme) else ""

    def _split_limits(self) -> list[int]:
        """For each start, where the next URL begins that is not part of it."""
        limits, limit = [0] * len(self._starts), len(self._text)
        for index in range(len(self._starts) - 1, -1, -1):
            limits[index] = limit
            if self._starts[index].splits:
                limit = self._starts[index].start
        return limits

    def _limit_from(self, index: int) -> int:
        if index >= len(self._starts):
            return len(self._text)
        start = self._starts[index]
        return start.start if start.splits else self._limits[index]

    def _with_scheme(self, index: int) -> Extent:
        start = self._starts[index]
        return self._reader.after_scheme(start.start, start.scheme, start.after, self._limits[index])

    def _take(self, extent: Extent) -> None:
        self._found.append(extent)
        self._position = extent.end
        self._cut = extent.cut

    def _without_scheme(self, host_start: int, host_end: int, index: int) -> None:
        text, limit = self._text, self._limit_from(index)
        if limit < host_end:
            # Another URL is glued on: its scheme is not part of this host.
            shorter = _HOST_RUN_HERE.match(text, host_start, limit)
            host_end = shorter.end() if shorter else host_start
        if not _is_known(self._table, text[host_start:host_end]):
            return
        start = self._start_without_scheme(host_start)
        if start is None or text.startswith("@", host_end):
            return
        extent = self._reader.without_scheme(start, host_start, host_end, limit)
        if not _is_mention(self._table, extent):
            self._take(extent)

    def _start_without_scheme(self, host_start: int) -> int | None:
        """Where a URL begins whose host stands here: at the host, at `//` before it, or nowhere."""
        text = self._text
        if self._may_start(host_start):
            # A hyphen or underline in front belongs to the text, and no URL starts after it.
            return None if text[host_start] in "-_" else host_start
        if not text.endswith("/", 0, host_start):
            return None
        slashes = host_start - (2 if text.endswith("//", 0, host_start) else 1)
        if self._is_broken_scheme(slashes):
            return host_start
        return slashes if slashes == host_start - 2 and self._may_start(slashes) else None

    def _may_start(self, start: int) -> bool:
        if start == 0 or (self._cut and start == self._position):
            return True
        before = self._text[start - 1]
        return before not in _NO_START_AFTER and not (before.isascii() and before.isalnum())

    def _is_broken_scheme(self, slashes: int) -> bool:
        if not self._text.endswith((":", "："), 0, slashes):
            return False
        # Letters of the URL before are none of this scheme: they may go with that URL.
        before = self._text[max(self._position, slashes - 1 - _LONGEST_MISSPELLED) : slashes - 1]
        return bool(_MISSPELLED_WEB.search(before))

    def _after_a_cut(self, index: int) -> None:
        """Read on where a token of known length was cut off, as if the text began there."""
        while self._cut:
            self._cut = False
            start, limit = self._position, self._limit_from_position(index)
            found = len(self._found)
            if (scheme := _SCHEME_HERE.match(self._text, start, limit)) and self._table.is_scheme(scheme[1].lower()):
                self._take(self._reader.after_scheme(start, scheme[1].lower(), scheme.end(), limit))
            else:
                slashes = 2 if self._text.startswith("//", start) else 0
                host = _HOST_RUN_HERE.match(self._text, start + slashes, limit)
                if host:
                    self._cut = True
                    self._without_scheme(host.start(), host.end(), index)
                    self._cut = self._cut and len(self._found) > found

    def _limit_from_position(self, index: int) -> int:
        while index < len(self._starts) and self._starts[index].start < self._position:
            index += 1
        return self._limit_from(index)


def _is_known(table: HostTable, host: str) -> bool:
    host = host.lower()
    return table.root(host if host.isascii() else re.sub("[。．｡]", ".", host)) is not None


def _is_mention(table: HostTable, extent: Extent) -> bool:
    """A platform's bare domain in prose is a mention, not a link."""
    if extent.url.rest not in ("", "/"):
        return False
    return table.root(extent.url.host) == extent.url.host
