"""The lines of a text and the cues that stand on them."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from cleanup.links.rules import LiveCues

# Stands in a view where the raw text has a tag or another break that is not the reader's text.
BREAK: Final = "\x00"
_LINE_END: Final = re.compile(r"[\n\r]")
# A URL that the policy does not know and that lacks its scheme; only live words care.
_ANY_URL: Final = re.compile(r"(?<![0-9A-Za-z-])[0-9A-Za-z-]++(?:\.[0-9A-Za-z-]++)+(?:[/?#][!-~]*+)?")


def lines_around(buffer: bytes, start: int, end: int, first: int, last: int) -> tuple[int, int]:
    """Where the lines begin and end that a range of UTF-8 has between two hits of the prefilter, line ends included.

    What a running text says of a link, it says on the link's own line; so these lines hold the links that the whole
    range holds.
    """
    before = max(buffer.rfind(b"\n", start, first - 1), buffer.rfind(b"\r", start, first - 1), start)
    ends = (buffer.find(b"\n", last - 1, end), buffer.find(b"\r", last - 1, end))
    return before, min((place + 1 for place in ends if place >= 0), default=end)


class Spellings:
    """A set of cues, found case-folded and with the fillers left out."""

    def __init__(self, cues: Iterable[str], fillers: str = "") -> None:
        self._drop = fillers + BREAK
        self._cues = {self.plain(cue): cue for cue in sorted(cues, reverse=True)}
        self._pattern = _any_of(self._cues)

    def plain(self, text: str) -> str:
        """How a text compares with the cues."""
        plain = text.casefold()
        # The marks are few, and most texts have none of them: quicker than a look-up for each character.
        for mark in self._drop:
            if mark in plain:
                plain = plain.replace(mark, "")
        return plain

    def first_in(self, plain: str) -> str | None:
        """The first cue in a plain text, as the policy spells it, or None."""
        found = self._pattern.search(plain) if self._pattern else None
        return self._cues[found.group()] if found else None


class LiveCueFinder:
    """Finds what says that a line is about a live-stream."""

    def __init__(self, cues: LiveCues) -> None:
        self._spellings = Spellings(cues.spellings)
        words = "|".join(sorted(cues.words, key=len, reverse=True))
        self._words = re.compile(rf"(?<![0-9A-Za-z_])(?:{words})(?![0-9A-Za-z_])", re.IGNORECASE | re.ASCII)
        self._has_words = bool(cues.words)

    def first_in(self, line: str) -> str | None:
        """The live cue of a line whose known URLs are blanked, or None."""
        found = self._spellings.first_in(self._spellings.plain(line))
        if found is None and self._has_words:
            line = line.replace(BREAK, "")
            word = self._words.search(line) and self._words.search(_ANY_URL.sub(" ", line))
            return word.group().lower() if word else None
        return found


class Lines:
    """Hands out the line around an offset; offsets that ascend cost no more than one pass."""

    def __init__(self, text: str, urls: Sequence[tuple[int, int]], live: LiveCueFinder) -> None:
        self._text = text
        self._urls = urls
        self._live_finder = live
        self.start = 0
        self.end = -1
        self._blanked: str | None = None
        self._live: str | None = None
        self._live_known = False

    def move_to(self, offset: int) -> bool:
        """Make the line around this offset the current one; False where it was so already."""
        if self.start <= offset <= self.end:
            return False
        before = self.end + 1 if offset > self.end else 0
        breaks = (self._text.rfind("\n", before, offset), self._text.rfind("\r", before, offset))
        self.start = max(before, *(position + 1 for position in breaks))
        found = _LINE_END.search(self._text, offset)
        self.end = found.start() if found else len(self._text)
        self._blanked = None
        self._live_known = False
        return True

    def blanked(self) -> str:
        """The current line with a space in place of each URL."""
        if self._blanked is None:
            parts, position = [], self.start
            for number in range(bisect_left(self._urls, (self.start, 0)), len(self._urls)):
                start, end = self._urls[number]
                if start >= self.end:
                    break
                parts.append(self._text[position:start])
                position = end
            parts.append(self._text[position : self.end])
            self._blanked = " ".join(parts)
        return self._blanked

    def live_cue(self) -> str | None:
        """The live cue on the current line, or None."""
        if not self._live_known:
            self._live = self._live_finder.first_in(self.blanked())
            self._live_known = True
        return self._live


def _any_of(cues: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(cues, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
