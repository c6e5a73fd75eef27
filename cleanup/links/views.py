"""A readable view of an escaped text, with an index map back to the raw one."""

from array import array
from bisect import bisect_right
from typing import Final

_CODE: Final = "q"


class View:
    """A text as a reader sees it; every offset leads back to the raw text.

    The map is a list of pieces: a plain piece has as many characters in the raw text as in the
    view, an escape has its own length there and is never cut. Memory follows the escapes, not the
    text.
    """

    def __init__(self, text: str, view_starts: "array[int]", raw_starts: "array[int]", raw_ends: "array[int]") -> None:
        self.text = text
        self._view_starts = view_starts
        self._raw_starts = raw_starts
        self._raw_ends = raw_ends

    def raw_start(self, offset: int) -> int:
        """Where the character at this offset begins in the raw text."""
        piece = bisect_right(self._view_starts, offset) - 1
        into = offset - self._view_starts[piece]
        if self._is_plain(piece):
            return self._raw_starts[piece] + into
        return self._raw_ends[piece] if offset >= len(self.text) else self._raw_starts[piece]

    def raw_end(self, offset: int) -> int:
        """Where the character before this offset ends in the raw text."""
        if offset == 0:
            return self._raw_starts[0]
        piece = bisect_right(self._view_starts, offset - 1) - 1
        if self._is_plain(piece):
            return self._raw_starts[piece] + offset - self._view_starts[piece]
        return self._raw_ends[piece]

    def _is_plain(self, piece: int) -> bool:
        following = self._view_starts[piece + 1] if piece + 1 < len(self._view_starts) else len(self.text)
        return following - self._view_starts[piece] == self._raw_ends[piece] - self._raw_starts[piece]


class ViewBuilder:
    """Builds a view piece by piece, in the order of the raw text."""

    def __init__(self, raw: str, start: int = 0) -> None:
        self._raw = raw
        self._parts: list[str] = []
        self._length = 0
        self._view_starts = array(_CODE, [0])
        self._raw_starts = array(_CODE, [start])
        self._raw_ends = array(_CODE, [start])

    @property
    def length(self) -> int:
        """How many characters the view has so far."""
        return self._length

    def plain(self, start: int, end: int) -> None:
        """Take over raw characters as they stand."""
        if end > start:
            self._add(self._raw[start:end], start, end)

    def escape(self, text: str, start: int, end: int) -> None:
        """Read the raw characters from start to end as `text`."""
        if text:
            self._add(text, start, end)

    def build(self) -> View:
        """The finished view."""
        return View("".join(self._parts), self._view_starts, self._raw_starts, self._raw_ends)

    def _add(self, text: str, start: int, end: int) -> None:
        if self._length == 0:
            self._view_starts.pop()
            self._raw_starts.pop()
            self._raw_ends.pop()
        self._view_starts.append(self._length)
        self._raw_starts.append(start)
        self._raw_ends.append(end)
        self._parts.append(text)
        self._length += len(text)
