"""Share codes in running text: strong ones between currency signs, weak ones between other marks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from cleanup.links.emoji import emoji_end, emoji_start
from cleanup.links.rules import ShareCodeRule

_DIGIT: Final = re.compile(r"[0-9]")
_LOWER: Final = re.compile(r"[a-z]")
_UPPER: Final = re.compile(r"[A-Z]")


class Surroundings(Enum):
    """What stands around a code."""

    CURRENCY = "currency signs"
    EMOJI = "emoji"
    BRACKETS = "brackets"
    PAIR = "a pair"
    DELIMITERS = "delimiters"


@dataclass(frozen=True, slots=True)
class ShareCode:
    """One code with its span; brackets, signs and emoji are in the span, delimiters are not."""

    start: int
    end: int
    surroundings: Surroundings


class ShareCodeScanner:
    """Finds the codes of one platform."""

    def __init__(self, rule: ShareCodeRule) -> None:
        self._rule = rule
        lengths = (*rule.strong_lengths, rule.weak_length)
        # The look-behind stands behind the first character, so that the engine can skip to one.
        self._run = re.compile(
            rf"[0-9A-Za-z](?<![0-9A-Za-z]{{2}})[0-9A-Za-z]{{{min(lengths) - 1},{max(lengths) - 1}}}+(?![0-9A-Za-z])"
        )
        self._closing = {pair[0]: (pair[1], Surroundings.PAIR) for pair in rule.pairs}
        self._closing |= {pair[0]: (pair[1], Surroundings.BRACKETS) for pair in rule.brackets}

    def scan(self, text: str) -> Iterator[ShareCode]:
        """Every code, ascending; none shares a wrapper with the one before it."""
        floor = 0
        for run in self._run.finditer(text):
            code = self._around(text, run.start(), run.end(), floor)
            if code:
                floor = code.end
                yield code

    def _around(self, text: str, start: int, end: int, floor: int) -> ShareCode | None:
        if start == 0 or end == len(text):
            return None
        before, after = text[start - 1], text[end]
        if before in self._rule.delimiters and after in self._rule.delimiters:
            # A delimiter is text and stays, so two codes may stand on both sides of one.
            return self._weak(text[start:end], ShareCode(start, end, Surroundings.DELIMITERS))
        if start - 1 < floor:
            return None
        closing = self._closing.get(before)
        if closing is None:
            return self._between_signs(text, start, end, floor)
        if after != closing[0]:
            return None
        return self._weak(text[start:end], ShareCode(start - 1, end + 1, closing[1]))

    def _between_signs(self, text: str, start: int, end: int, floor: int) -> ShareCode | None:
        signs = self._rule.wrappers
        before_sign, after_sign = text[start - 1] in signs, text[end] in signs
        if not before_sign and text[start - 1].isascii():
            # No emoji ends so.
            return None
        first = start - 1 if before_sign else emoji_start(text, start, floor)
        last = end + 1 if after_sign else emoji_end(text, end, len(text))
        if first == start or last == end:
            return None
        if before_sign and after_sign:
            if end - start in self._rule.strong_lengths and _classes(text[start:end]) >= 2:
                return ShareCode(first, last, Surroundings.CURRENCY)
            return None
        return self._weak(text[start:end], ShareCode(first, last, Surroundings.EMOJI))

    def _weak(self, letters: str, code: ShareCode) -> ShareCode | None:
        if len(letters) != self._rule.weak_length or _classes(letters) < 3:
            return None
        return None if letters.casefold().startswith(self._rule.product_words) else code


def _classes(code: str) -> int:
    """How many of digits, lower case and upper case the code has."""
    return sum(1 for letters in (_DIGIT, _LOWER, _UPPER) if letters.search(code))
