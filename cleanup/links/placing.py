"""Finding the places of edits again in a text that somebody has edited since: each for certain, or not at all.

A place is told by what the edit put there and by the text on either side of it, of which the log has hashes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final, TypeAlias

from cleanup.links.logged_edits import NEAR, LoggedEdit
from cleanup.links.surroundings import Surroundings

# A text that repeats what an edit put there so often says nothing about any place.
_MOST_SPOTS: Final = 10_000


class Unplaced(Enum):
    """Why an edit has no certain place: nothing like it is there, or several places are."""

    NOT_FOUND = "not_found"
    NOT_UNIQUE = "not_unique"


Spot: TypeAlias = "int | Unplaced"


def place_edits(text: str, edits: Sequence[LoggedEdit]) -> list[Spot]:
    """Where each edit's inserted text stands in `text`, or why that is not certain. Linear in the text.

    `edits` are all that should stand there, in the order of the text that was edited: those that look alike
    are told apart only where all of them are still there.
    """
    spots: list[Spot] = [Unplaced.NOT_FOUND] * len(edits)
    alike: defaultdict[str, list[int]] = defaultdict(list)
    for number, logged in enumerate(edits):
        if logged.edit.inserted:
            alike[logged.edit.inserted].append(number)
    for inserted, numbers in alike.items():
        found = _Search(text, inserted, [edits[number] for number in numbers]).spots()
        for number, spot in zip(numbers, found, strict=True):
            spots[number] = spot
    _drop_shared(spots, edits)
    return spots


class _Search:
    """The places of edits that all inserted the same text."""

    def __init__(self, text: str, inserted: str, edits: Sequence[LoggedEdit]) -> None:
        self._edits = edits
        self._found = list(_occurrences(text, inserted))
        self._around = Surroundings(text, len(inserted), self._found)

    def spots(self) -> list[Spot]:
        """A spot, or why there is none, for each edit."""
        if len(self._found) > _MOST_SPOTS:
            return [Unplaced.NOT_UNIQUE] * len(self._edits)
        wanted = [self._candidates(logged) for logged in self._edits]
        claims = self._claims()
        spots: list[Spot] = []
        for logged, found in zip(self._edits, wanted, strict=True):
            spot: Spot = Unplaced.NOT_UNIQUE if found else Unplaced.NOT_FOUND
            if len(found) == 1:
                (only,) = found
                others = claims[only] - self._around.is_near(logged, only)
                # Where it would fit another one as well, which of them is gone can not be told.
                spot = only if others == 0 else Unplaced.NOT_UNIQUE
            spots.append(spot)
        return self._in_order(spots) or spots

    def _candidates(self, logged: LoggedEdit) -> set[int]:
        """The spots that fit best, or two of them: on both sides far, then near, then on one side alone."""
        before, behind, around = logged.before, logged.behind, self._around
        if before.length or behind.length:
            both = around.far(before, behind) or around.near(before, behind)
            if both:
                return set(both[:2])
        told_before, told_behind = before.length >= NEAR, behind.length >= NEAR
        far = {
            *(around.far_before(before)[:2] if told_before else ()),
            *(around.far_behind(behind)[:2] if told_behind else ()),
        }
        return far or {
            *(around.near_before(before)[:2] if told_before else ()),
            *(around.near_behind(behind)[:2] if told_behind else ()),
        }

    def _claims(self) -> Counter[int]:
        """How many edits fit each spot by what stands nearest on both sides."""
        alike: Counter[tuple[int, int, int, int]] = Counter()
        claims: Counter[int] = Counter()
        for logged in self._edits:
            before, behind = logged.before, logged.behind
            if before.length or behind.length:
                alike[before.near_length, before.near, behind.near_length, behind.near] += 1
        for sides, edits in alike.items():
            for spot in self._around.where(*sides):
                claims[spot] += edits
        return claims

    def _in_order(self, spots: Sequence[Spot]) -> list[Spot] | None:
        """All are there, in an order that the certain ones confirm: then each is the one in its turn."""
        if len(self._found) != len(self._edits):
            return None
        pairs = list(zip(self._edits, self._found, spots, strict=True))
        if any(isinstance(spot, int) and spot != found for _, found, spot in pairs):
            return None
        return [found if self._around.may_be(logged, found) else spot for logged, found, spot in pairs]


def _occurrences(text: str, wanted: str) -> Iterator[int]:
    start = text.find(wanted)
    number = 0
    while start >= 0 and number <= _MOST_SPOTS:
        yield start
        number += 1
        start = text.find(wanted, start + 1)


def _drop_shared(spots: list[Spot], edits: Sequence[LoggedEdit]) -> None:
    """Two edits never have the same place, nor places that overlap: then neither has one."""
    taken = sorted(
        (spot, spot + len(edits[number].edit.inserted), number)
        for number, spot in enumerate(spots)
        if isinstance(spot, int)
    )
    clashes: Counter[int] = Counter()
    furthest, holder = -1, -1
    for start, end, number in taken:
        if start < furthest:
            clashes.update((number, holder))
        if end > furthest:
            furthest, holder = end, number
    for number in clashes:
        spots[number] = Unplaced.NOT_UNIQUE
