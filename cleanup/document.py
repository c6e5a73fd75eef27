"""Reading a TOML document key by key, so that all its errors are reported together."""

import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TypeVar

from cleanup.errors import UsageOrConfigError

_Member = TypeVar("_Member", bound=Enum)
_StandIn = TypeVar("_StandIn")


class Problems:
    """The errors found so far in one file, each with its table and key."""

    def __init__(self, file: Path, kind: type[UsageOrConfigError]) -> None:
        self._file = file
        self._kind = kind
        self._lines: list[str] = []

    def add(self, place: str, what: str) -> None:
        """Note one error; `place` is the dotted path of table and key."""
        self._lines.append(f"{self._file}: {place}: {what}")

    def raise_if_any(self) -> None:
        """Raise one error that lists every problem, if there is any."""
        if self._lines:
            raise self._kind(
                "\n".join(self._lines),
                hint=f"correct the {len(self._lines)} place(s) named above and run the command again.",
            )


class Section:
    """One table of a TOML document; each key is asked for once, the rest are unknown keys."""

    def __init__(self, problems: Problems, place: str, values: Mapping[str, object]) -> None:
        self._problems = problems
        self._values = dict(values)
        self._asked: set[str] = set()
        self.place = place

    def path(self, key: str) -> str:
        """The dotted path of a key of this table."""
        return f"{self.place}.{key}" if self.place else key

    def problem(self, key: str, what: str) -> None:
        """Note an error at one key of this table."""
        self._problems.add(self.path(key), what)

    def has(self, key: str) -> bool:
        """Whether the key stands in the file."""
        return key in self._values

    def is_table(self, key: str) -> bool:
        """Whether the key holds a sub-table."""
        return isinstance(self._values.get(key), dict)

    def keys(self) -> tuple[str, ...]:
        """Every key of the table, in the file's order."""
        return tuple(self._values)

    def text(self, key: str, default: str | None = None) -> str:
        """A string that is not empty."""
        value = self._take(key, default)
        if isinstance(value, str) and (value or value == default):
            return value
        return self._wrong(key, value, "a non-empty string", "")

    def optional_text(self, key: str) -> str | None:
        """A string that is not empty, or None where the key is absent."""
        return self.text(key) if self.has(key) else None

    def integer(self, key: str, default: int | None = None, *, minimum: int = 0, maximum: int | None = None) -> int:
        """A whole number within its bounds."""
        value = self._take(key, default)
        if isinstance(value, int) and not isinstance(value, bool):
            if value >= minimum and (maximum is None or value <= maximum):
                return value
            bounds = f">= {minimum}" if maximum is None else f"from {minimum} to {maximum}"
            self.problem(key, f"is {value}, must be {bounds}")
            return minimum
        return self._wrong(key, value, "a whole number", minimum)

    def fraction(self, key: str, default: float | None = None) -> float:
        """A number from 0 to 1."""
        value = self._take(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
            return float(value)
        return self._wrong(key, value, "a number from 0 to 1", 0.0)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._take(key, default)
        return value if isinstance(value, bool) else self._wrong(key, value, "true or false", False)

    def instant(self, key: str) -> datetime:
        """A date and time, with or without an offset."""
        value = self._take(key, None)
        if isinstance(value, datetime):
            return value
        return self._wrong(key, value, "a date and time", datetime(1970, 1, 1))

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of strings."""
        value = self._take(key, default)
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
        return self._wrong(key, value, "a list of strings", ())

    def integers(self, key: str, *, minimum: int = 0) -> tuple[int, ...]:
        """A list of whole numbers, none below `minimum`; it is not empty."""
        value = self._take(key, None)
        if isinstance(value, list) and value and all(type(item) is int and item >= minimum for item in value):
            return tuple(value)
        return self._wrong(key, value, f"a list of whole numbers >= {minimum}", ())

    def member(self, key: str, kind: type[_Member], default: _Member | None = None) -> _Member:
        """One word of a closed set."""
        value = self._take(key, default.value if default is not None else None)
        for member in kind:
            if member.value == value:
                return member
        allowed = ", ".join(str(member.value) for member in kind)
        return self._wrong(key, value, f"one of {allowed}", next(iter(kind)))

    def section(self, key: str) -> "Section":
        """A sub-table; an absent one reads as empty."""
        value = self._take(key, {})
        if not isinstance(value, dict):
            value = self._wrong(key, value, "a table", {})
        return Section(self._problems, self.path(key), value)

    def sections(self, key: str) -> Iterator["Section"]:
        """The tables of an array of tables; an absent one has none."""
        value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            value = self._wrong(key, value, "an array of tables", [])
        for number, item in enumerate(value, start=1):
            yield Section(self._problems, f"{self.path(key)}[{number}]", item)

    def holds(self, path: str) -> bool:
        """Whether a dotted path leads to a key that stands in the file, at this table or below."""
        values: object = self._values
        for key in path.split("."):
            if not isinstance(values, dict) or key not in values:
                return False
            values = values[key]
        return True

    def close(self) -> None:
        """Note every key of this table that nothing asked for."""
        for key in self._values:
            if key not in self._asked:
                known = ", ".join(sorted(self._asked)) or "none"
                self.problem(key, f"unknown key; the keys here are {known}")

    def _take(self, key: str, default: object) -> object:
        self._asked.add(key)
        return self._values.get(key, default)

    def _wrong(self, key: str, value: object, wanted: str, stand_in: _StandIn) -> _StandIn:
        if value is None and key not in self._values:
            self.problem(key, f"is missing; it must be {wanted}")
        else:
            self.problem(key, f"is {value!r}, must be {wanted}")
        return stand_in


def read_document(
    file: Path, kind: type[UsageOrConfigError], *, if_missing: str = "name an existing file."
) -> tuple[Section, Problems]:
    """Open one TOML file; raise `kind` where it is missing, with that hint, not UTF-8 or not TOML."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise kind(f"{file}: cannot be read: {error.strerror}", hint=if_missing) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise kind(f"{file}: is not TOML: {error}", hint="correct the file at that place.") from None
    problems = Problems(file, kind)
    return Section(problems, "", values), problems
