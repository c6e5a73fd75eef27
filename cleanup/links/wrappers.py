"""The links that a URL hides in its query, fragment or path."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

_LEVELS: Final = 3
_RAW: Final = re.compile(r"https?://", re.IGNORECASE)
# The beginning of an encoded URL; `//` right behind the colon is part of it whether encoded or not.
_ENCODED: Final = re.compile(r"https?%3A(?:%2F|/)*|(?:%2F){2,}", re.IGNORECASE)
_APP_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}(?:%3A|:)\Z", re.IGNORECASE)
_LONGEST_SCHEME: Final = 34
_VALUE_END: Final = re.compile(r"[&#]")


def inner_links(target: str) -> Iterator[str]:
    """Each hidden URL, decoded; `target` is what stands after the outer URL's `://`.

    A raw `http(s)://` counts directly behind `=` or `://`. An encoded one counts wherever it
    stands, up to three levels of percent-encoding deep. Each level costs one pass over the text.
    """
    if "://" in target:
        yield from _raw(target)
    level_text = target
    for _ in range(_LEVELS):
        if "%" not in level_text:
            return
        yield from _encoded(level_text)
        level_text = unquote(level_text)


def _raw(target: str) -> Iterator[str]:
    starts = [
        found.start()
        for found in _RAW.finditer(target)
        if not found.start() or target[found.start() - 1] == "=" or target.endswith("://", 0, found.start())
    ]
    for start, end in zip(starts, [*starts[1:], len(target)], strict=False):
        yield target[start:end]


def _encoded(text: str) -> Iterator[str]:
    marks = list(_ENCODED.finditer(text))
    floor = 0
    for number, mark in enumerate(marks):
        start = _with_app_scheme(text, mark.start(), floor) if mark.group().startswith("%") else mark.start()
        limit = marks[number + 1].start() if number + 1 < len(marks) else len(text)
        end = _VALUE_END.search(text, mark.end(), limit)
        floor = end.start() if end else limit
        yield unquote(text[start:floor])


def _with_app_scheme(text: str, start: int, floor: int) -> int:
    scheme = _APP_SCHEME.search(text, max(floor, start - _LONGEST_SCHEME), start)
    return scheme.start() if scheme else start
