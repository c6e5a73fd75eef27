"""The string leaves of a JSON document, read through their escapes; the document is checked on the way."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cleanup.links.views import View, ViewBuilder

_SPACE: Final = re.compile(r"[ \t\n\r]*+")
_STRING: Final = re.compile(r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*"')
_SCALAR: Final = re.compile(
    r"(?:-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null)(?![0-9A-Za-z.+-])"
)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|(.))")
_SIMPLE: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_REPLACEMENT: Final = "\ufffd"
_HEX: Final = re.compile(r"[\"\\\x00-\x1f]")


class JsonInvalid(ValueError):
    """The value is no JSON document; the message says where."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One string value: where its characters stand between the quotes, and under which path.

    The path has a key, or `*` for a place in an array, per level, as deep as was asked for.
    """

    start: int
    end: int
    path: tuple[str, ...]


def leaves(document: str, depth: int = 0) -> Iterator[Leaf]:
    """Every string value of a document, in order, keys excepted; JsonInvalid where it is none.

    `depth` says how many levels of its path each leaf tells. Nesting costs a list entry a level,
    so that no document is too deep.
    """
    walk = _Walk(document, depth)
    yield from walk.value()


class _Walk:
    def __init__(self, document: str, depth: int) -> None:
        self._document = document
        self._depth = depth
        self._position = 0
        # One entry a level: the key that leads on, or * in an array.
        self._path: list[str] = []
        self._closers: list[str] = []

    def value(self) -> Iterator[Leaf]:
        document = self._document
        self._skip_space()
        while True:
            mark = document[self._position : self._position + 1]
            if mark == '"':
                start, end = self._string()
                yield Leaf(start, end, tuple(self._path[: self._depth]))
            elif mark in ("{", "[") and mark:
                if self._open(mark):
                    continue
            else:
                self._scalar()
            if not self._after_value():
                break
        if self._position != len(document):
            raise self._error("text after the end of the document")

    def _open(self, mark: str) -> bool:
        """Enter an object or array; True where a value follows, False where it is empty and closed."""
        self._position += 1
        self._skip_space()
        closer = "}" if mark == "{" else "]"
        if self._document.startswith(closer, self._position):
            self._position += 1
            return False
        self._closers.append(closer)
        self._path.append("*" if mark == "[" else self._key())
        return True

    def _after_value(self) -> bool:
        """Go on behind a value; False where the document is complete."""
        while True:
            self._skip_space()
            if not self._closers:
                return False
            mark = self._document[self._position : self._position + 1]
            if mark == ",":
                self._position += 1
                self._skip_space()
                if self._closers[-1] == "}":
                    self._path[-1] = self._key()
                return True
            if mark != self._closers[-1]:
                raise self._error(f"a comma or {self._closers[-1]} is missing")
            self._position += 1
            self._closers.pop()
            self._path.pop()

    def _key(self) -> str:
        if not self._document.startswith('"', self._position):
            raise self._error("a key in quotes is missing")
        start, end = self._string()
        self._skip_space()
        if not self._document.startswith(":", self._position):
            raise self._error("a colon is missing")
        self._position += 1
        self._skip_space()
        return (
            leaf_view(self._document, start, end).text
            if "\\" in self._document[start:end]
            else self._document[start:end]
        )

    def _string(self) -> tuple[int, int]:
        found = _STRING.match(self._document, self._position)
        if not found:
            raise self._error("a string is broken")
        start = self._position + 1
        self._position = found.end()
        return start, found.end() - 1

    def _scalar(self) -> None:
        found = _SCALAR.match(self._document, self._position)
        if not found:
            raise self._error("a value is missing or broken")
        self._position = found.end()

    def _skip_space(self) -> None:
        found = _SPACE.match(self._document, self._position)
        self._position = found.end() if found else self._position

    def _error(self, what: str) -> JsonInvalid:
        return JsonInvalid(f"not valid JSON: {what} at character {self._position}")


def leaf_view(document: str, start: int, end: int) -> View:
    """What a leaf says, with the map back into the document.

    A surrogate pair is one character. A lone surrogate reads as U+FFFD, which ends a URL as the
    surrogate does.
    """
    builder = ViewBuilder(document, start)
    position = start
    for found in _ESCAPE.finditer(document, start, end):
        builder.plain(position, found.start())
        position = _add_escape(builder, found)
    builder.plain(position, end)
    return builder.build()


def _add_escape(builder: ViewBuilder, found: re.Match[str]) -> int:
    unit, low, simple = found.groups()
    if simple is not None:
        builder.escape(_SIMPLE.get(simple, simple), found.start(), found.end())
        return found.end()
    first = int(unit, 16)
    if not 0xD800 <= first <= 0xDFFF:
        if low is None:
            builder.escape(chr(first), found.start(), found.end())
            return found.end()
        # A lone low surrogate behind an ordinary escape: two characters.
        builder.escape(chr(first), found.start(), found.start() + 6)
        builder.escape(_REPLACEMENT, found.start() + 6, found.end())
        return found.end()
    if first <= 0xDBFF and low is not None:
        point = 0x10000 + ((first - 0xD800) << 10) + (int(low, 16) - 0xDC00)
        builder.escape(chr(point), found.start(), found.end())
        return found.end()
    builder.escape(_REPLACEMENT, found.start(), found.start() + 6)
    if low is not None:
        builder.escape(_REPLACEMENT, found.start() + 6, found.end())
    return found.end()


def in_quotes(text: str) -> str:
    """A text as it stands inside the quotes of a JSON string: plainly, escaped only where JSON demands it."""
    return _HEX.sub(lambda mark: f"\\{mark.group()}" if mark.group() in '"\\' else f"\\u{ord(mark.group()):04x}", text)


def selects(patterns: tuple[tuple[str, ...], ...], path: tuple[str, ...]) -> bool:
    """Whether a path is wanted: one of the patterns leads to it or to something around it; none wants all."""
    return not patterns or any(_leads_to(pattern, path) for pattern in patterns)


def parse_path(text: str) -> tuple[str, ...]:
    """Read `content.items[*].text`, with or without `$.` before it; `*` stands for any key or place."""
    plain = text.removeprefix("$").removeprefix(".").replace("[*]", ".*").replace("[]", ".*")
    return tuple(part for part in plain.split(".") if part)


def _leads_to(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    return len(pattern) <= len(path) and all(want in ("*", have) for want, have in zip(pattern, path, strict=False))
