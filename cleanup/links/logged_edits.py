"""Edits as the change log stores them: beside each stands what its surroundings hash to, never what they say."""

import json
import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cleanup.links.edits import Edit, EditMismatch
from cleanup.links.words import Words

# How many code points on either side are remembered: the far ones tell places of a text apart, the near ones
# outlast edits close by.
FAR: Final = 12
NEAR: Final = 4

_HASH_DIGITS: Final = 5
_HASH_BITS: Final = 4 * _HASH_DIGITS
_SIDE_DIGITS: Final = 1 + 2 * _HASH_DIGITS
# As base64, which is shorter, of both sides' digits, two of which make a byte; without the padding.
_SIDES_BYTES: Final = 2 * _SIDE_DIGITS // 2
_SIDES: Final = re.compile(r"[A-Za-z0-9_-]{15}\Z")
_PADDING: Final = "="


@dataclass(frozen=True, slots=True)
class Side:
    """What stands on one side of an edit, up to the neighbouring edit or the text's end.

    `length` counts the code points behind `far`; `near` hashes those of them that are closest.
    """

    length: int
    near: int
    far: int

    @property
    def near_length(self) -> int:
        """How many code points are behind `near`."""
        return min(self.length, NEAR)


@dataclass(frozen=True, slots=True)
class LoggedEdit:
    """An edit and its surroundings in the text after the change, each ending at the neighbouring edit."""

    edit: Edit
    before: Side
    behind: Side


def side_hash(text: str) -> int:
    """20 bits over a short text."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) & 0xFFFFF


def encode_edits(edits: Sequence[Edit], after: str, words: Words) -> str:
    """A compact, stable text form of ascending edits and of their surroundings in the text after them.

    A JSON array of [start, removed, inserted, number, label, surroundings].
    """
    entries: list[str] = []
    for place, edit in enumerate(edits):
        floor = edits[place - 1].end if place else 0
        ceiling = edits[place + 1].start if place + 1 < len(edits) else len(after)
        end = edit.end
        before, behind = after[max(floor, edit.start - FAR) : edit.start], after[end : min(ceiling, end + FAR)]
        sides = _spelled(_side(before[-NEAR:], before), _side(behind[:NEAR], behind))
        removed, inserted, label = map(words.spell, (edit.removed, edit.inserted, edit.label))
        entries.append(f'[{edit.start},{removed},{inserted},{edit.number},{label},"{sides}"]')
    return f"[{','.join(entries)}]"


def decode_edits(text: str, words: Words) -> tuple[Edit, ...]:
    """The edits that `encode_edits` wrote; EditMismatch where it is anything else."""
    return tuple([edit for edit, _ in _entries(text, words)])


def plain_edits(text: str, words: Words) -> list[list[int | str]]:
    """The stored edits with every word in plain text, for people; EditMismatch as above."""
    return [
        [edit.start, edit.removed, edit.inserted, edit.number, edit.label, sides]
        for edit, sides in _entries(text, words)
    ]


def decode_logged(text: str, words: Words) -> tuple[LoggedEdit, ...]:
    """The edits with their surroundings; EditMismatch where the text is no such list."""
    return tuple(
        [
            LoggedEdit(edit, _side_from(digits[:_SIDE_DIGITS]), _side_from(digits[_SIDE_DIGITS:]))
            for edit, digits in ((edit, _digits(sides)) for edit, sides in _entries(text, words))
        ]
    )


def _entries(text: str, words: Words) -> Iterator[tuple[Edit, str]]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        raise EditMismatch("an edit list is a JSON array")
    for entry in entries:
        yield _entry_from(entry, words)


def _side(near: str, far: str) -> int:
    """Length and both hashes, as the number that their digits make."""
    return (len(far) << 2 * _HASH_BITS) | (side_hash(near) << _HASH_BITS) | side_hash(far)


def _spelled(before: int, behind: int) -> str:
    sides = before << 4 * _SIDE_DIGITS | behind
    return urlsafe_b64encode(sides.to_bytes(_SIDES_BYTES, "big")).decode("ascii").rstrip(_PADDING)


def _digits(sides: str) -> str:
    return urlsafe_b64decode(sides + _PADDING).hex()


def _entry_from(entry: object, words: Words) -> tuple[Edit, str]:
    if isinstance(entry, list) and len(entry) == 6:
        start, *said, number, label, sides = entry
        try:
            removed, inserted, label = map(words.read, (*said, label))
        except ValueError as error:
            raise EditMismatch(str(error)) from None
        if (
            type(start) is int
            and start >= 0
            and isinstance(removed, str)
            and isinstance(inserted, str)
            and type(number) is int
            and isinstance(label, str)
            and isinstance(sides, str)
        ):
            if _SIDES.match(sides) is None:
                raise EditMismatch("an edit's surroundings are base64")
            return Edit(start, removed, inserted, number, label), sides
    raise EditMismatch("an edit is an array of start, removed and inserted text, number, label and surroundings")


def _side_from(written: str) -> Side:
    near_end = 1 + _HASH_DIGITS
    return Side(int(written[0], 16), int(written[1:near_end], 16), int(written[near_end:], 16))
