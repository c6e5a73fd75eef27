"""The file of a review: one line a span that waits for a person, as JSON lines, or as CSV for a spreadsheet.

A person fills in decisions and hands it back; lines may also decide by pattern. Both formats are read into the same
lines of plain texts, so that nothing depends on which of them it was.
"""

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cleanup.engine.archive_text import csv_line, guarded, unguarded
from cleanup.errors import DecisionsRefused, InputUnreadable, UsageInvalid
from cleanup.links.explain import visible

# What a pattern may name; a span line repeats them, and they have to fit.
CRITERIA: Final = ("table", "column", "author", "platform", "kind", "host", "reason")
IDENTITY: Final = ("finding", "finding_hash", "span")
# For a person's eyes; nothing is read from them.
SHOWN: Final = ("created_at", "before", "link", "after")
FIELDS: Final = ("plan", *IDENTITY, *CRITERIA, "key", *SHOWN, "decision")

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class FileLine:
    """One line of a decision file: its number and its fields as plain texts, the blank ones left out."""

    number: int
    fields: Mapping[str, str]

    @property
    def decides(self) -> bool:
        """Whether somebody has filled in a decision."""
        return "decision" in self.fields

    @property
    def is_of_a_span(self) -> bool:
        """Whether it names one span, and no pattern."""
        return any(name in self.fields for name in IDENTITY)


class Problems:
    """What is wrong with a decision file: each problem once, with its lines."""

    def __init__(self) -> None:
        self._lines: dict[str, list[int]] = {}

    def add(self, what: str, *lines: int) -> None:
        """Note a problem of some lines."""
        self._lines.setdefault(what, []).extend(lines)

    def raise_if_any(self, place: str) -> None:
        """Raise DecisionsRefused with every problem, if there is one."""
        if self._lines:
            listed = [f"{place}: {_where(lines)}{what}" for what, lines in self._lines.items()]
            raise DecisionsRefused(
                "\n".join([f"{len(listed)} problem(s), nothing was decided:", *listed]),
                hint="mend the lines named above, or export the plan again, and import the whole file.",
            )


def _where(lines: list[int]) -> str:
    shown = ", ".join(map(str, sorted(set(lines))[:10]))
    more = len(set(lines)) - 10
    return f"line {shown}{f' and {more} more' if more > 0 else ''}: " if lines else ""


def plain(value: object) -> str:
    """A value as both formats compare it: blank where there is none, nothing in it that could mislead the eye."""
    if value is None:
        return ""
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def is_csv(file: Path) -> bool:
    """Which of the formats a file has, by its name."""
    return file.suffix.lower() == ".csv"


def write_lines(file: Path, records: Iterable[Record]) -> int:
    """Write a new file that only its owner can read, since the links are in it; how many lines it has.

    Raises UsageInvalid where the file is there already or can not be written.
    """
    render = _as_csv if is_csv(file) else _as_json
    lines = 0
    try:
        file.touch(mode=0o600, exist_ok=False)
        with file.open("w", encoding="utf-8", newline="\n") as out:
            if is_csv(file):
                out.write(csv_line(FIELDS))
            for record in records:
                out.write(render(record))
                lines += 1
    except OSError as error:
        raise UsageInvalid(f"{file}: {error.strerror}", hint="name a new file in a folder that exists.") from None
    return lines


def _as_json(record: Record) -> str:
    # An escape is the same JSON: so no mark in it can turn a terminal or an editor around.
    text = json.dumps({name: record[name] for name in FIELDS}, ensure_ascii=False)
    return "".join(mark if visible(mark) == mark else json.dumps(mark)[1:-1] for mark in text) + "\n"


def _as_csv(record: Record) -> str:
    return csv_line(guarded(plain(record[name])) if record[name] is not None else "" for name in FIELDS)


def read_lines(file: Path, content: bytes, problems: Problems) -> list[FileLine]:
    """The lines of a decision file; what they can not be is added to the problems."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputUnreadable(f"{file} is not UTF-8", hint="save it as UTF-8, and import it again.") from None
    stored = _csv_objects(text, problems) if is_csv(file) else _json_objects(text, problems)
    return [_line(number, fields, problems) for number, fields in stored]


def _json_objects(text: str, problems: Problems) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            pairs: object = json.loads(line, object_pairs_hook=list)
        except (ValueError, RecursionError):
            problems.add("is not JSON", number)
            continue
        if not isinstance(pairs, list) or not line.lstrip().startswith("{"):
            problems.add("is no JSON object", number)
            continue
        names = [str(name) for name, _ in pairs]
        if len(set(names)) < len(names):
            problems.add("names a field twice", number)
        yield number, {str(name): plain(value) for name, value in pairs}


def _csv_objects(text: str, problems: Problems) -> Iterator[tuple[int, dict[str, str]]]:
    csv.field_size_limit(sys.maxsize)
    try:
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error:
        problems.add("the file is no CSV")
        return
    head = rows[0] if rows else []
    if len(set(head)) < len(head) or not head:
        problems.add("names its columns not at all, or one of them twice", 1)
        return
    for number, cells in enumerate(rows[1:], start=2):
        if len(cells) != len(head):
            problems.add(f"has not {len(head)} cells", number)
        else:
            yield number, {name: unguarded(cell) or "" for name, cell in zip(head, cells, strict=True)}


def _line(number: int, fields: Mapping[str, str], problems: Problems) -> FileLine:
    for name in fields:
        if name not in FIELDS:
            problems.add(f"has the unknown field {visible(name)!r}; the fields are {', '.join(FIELDS)}", number)
    return FileLine(number, {name: value.strip() for name, value in fields.items() if value.strip()})
