"""Which occurrences of a text have which text on either side, by the hashes that a log row has of it."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

from cleanup.links.logged_edits import LoggedEdit, Side, side_hash

_Hashes: TypeAlias = "tuple[int | None, int | None]"


class Surroundings:
    """Occurrences by what stands around them; every pair of lengths is looked at once. Of a side of no length
    nothing is known, so that it fits everywhere."""

    def __init__(self, text: str, width: int, found: Sequence[int]) -> None:
        self._text = text
        self._width = width
        self._found = found
        self._by_lengths: dict[tuple[int, int], defaultdict[_Hashes, list[int]]] = {}

    def far(self, before: Side, behind: Side) -> Sequence[int]:
        """The occurrences that have all that is known on both sides."""
        return self.where(before.length, before.far, behind.length, behind.far)

    def near(self, before: Side, behind: Side) -> Sequence[int]:
        """The occurrences that have what is closest on both sides."""
        return self.where(before.near_length, before.near, behind.near_length, behind.near)

    def far_before(self, side: Side) -> Sequence[int]:
        """The occurrences behind all that is known of that side."""
        return self.where(side.length, side.far, 0, _NOTHING)

    def far_behind(self, side: Side) -> Sequence[int]:
        """The occurrences before all that is known of that side."""
        return self.where(0, _NOTHING, side.length, side.far)

    def near_before(self, side: Side) -> Sequence[int]:
        """The occurrences behind what is closest on that side."""
        return self.where(side.near_length, side.near, 0, _NOTHING)

    def near_behind(self, side: Side) -> Sequence[int]:
        """The occurrences before what is closest on that side."""
        return self.where(0, _NOTHING, side.near_length, side.near)

    def may_be(self, logged: LoggedEdit, spot: int) -> bool:
        """Whether anything closest to the edit is still there, or nothing is known of its surroundings at all."""
        before, behind = logged.before, logged.behind
        if not before.length and not behind.length:
            return True
        return bool(
            (before.length and self._hash_before(spot, before.near_length) == before.near)
            or (behind.length and self._hash_behind(spot, behind.near_length) == behind.near)
        )

    def is_near(self, logged: LoggedEdit, spot: int) -> bool:
        """Whether something is known of the edit's surroundings, and what is closest on both sides is there."""
        before, behind = logged.before, logged.behind
        return bool(before.length or behind.length) and (
            self._hash_before(spot, before.near_length) == before.near
            and self._hash_behind(spot, behind.near_length) == behind.near
        )

    def where(self, length_before: int, before: int, length_behind: int, behind: int) -> Sequence[int]:
        """The occurrences between texts of these lengths and hashes."""
        lengths = (length_before, length_behind)
        if lengths not in self._by_lengths:
            index: defaultdict[_Hashes, list[int]] = defaultdict(list)
            for spot in self._found:
                index[self._hash_before(spot, length_before), self._hash_behind(spot, length_behind)].append(spot)
            self._by_lengths[lengths] = index
        return self._by_lengths[lengths].get((before, behind), [])

    def _hash_before(self, spot: int, length: int) -> int | None:
        return side_hash(self._text[spot - length : spot]) if spot >= length else None

    def _hash_behind(self, spot: int, length: int) -> int | None:
        end = spot + self._width
        return side_hash(self._text[end : end + length]) if end + length <= len(self._text) else None


_NOTHING = side_hash("")
