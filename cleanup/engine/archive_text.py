"""Archived rows as JSON lines, and as CSV that comes back byte for byte and does nothing in a spreadsheet."""

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Final

from cleanup.compact_json import compact_json
from cleanup.engine.archive_rows import COLUMNS, Kind, RowMalformed, Value, from_plain, plain

# Half-width and full-width: spreadsheets of East Asia take both for the beginning of a formula.
_FORMULA: Final = "=+-@＝＋－＠"
_GUARD: Final = "'"
# What breaks a line or a cell, in some spreadsheet on some machine; and the sign that stands for it.
_ESCAPED: Final = re.compile(r"[\x00-\x1f\x7f\\;]")
_ESCAPE: Final = re.compile(r"\\x([0-9a-f]{2})")


def write_jsonl(file: BinaryIO, rows: Iterable[Sequence[Value]]) -> None:
    """One JSON object a row, the columns by name."""
    for values in rows:
        file.write(_encode_line({column.name: plain(value) for column, value in zip(COLUMNS, values, strict=True)}))


def read_jsonl(file: BinaryIO) -> Iterator[tuple[Value, ...]]:
    """The rows of `write_jsonl`; raise RowMalformed where it did not write them."""
    for line in file:
        stored: object = _decode_json(line)
        if not isinstance(stored, dict):
            raise RowMalformed("a line is no JSON object")
        yield tuple(from_plain(column, stored.get(column.name)) for column in COLUMNS)


def write_csv(file: BinaryIO, rows: Iterable[Sequence[Value]]) -> None:
    """A head, and one line a row, every cell in quotes."""
    file.write(csv_line([column.name for column in COLUMNS]).encode())
    for values in rows:
        file.write(csv_line([_cell(value) for value in values]).encode())


def read_csv(file: BinaryIO) -> Iterator[tuple[Value, ...]]:
    """The rows of `write_csv`; raise RowMalformed where it did not write them."""
    # A removed text may be as long as a post.
    csv.field_size_limit(sys.maxsize)
    try:
        # No cell holds a line break: a line of the file is a line of the table.
        lines = csv.reader((line.decode() for line in file), strict=True)
        for number, cells in enumerate(lines):
            if len(cells) != len(COLUMNS):
                raise RowMalformed(f"line {number + 1} has {len(cells)} cells")
            if number:
                yield tuple(_value(place, cell) for place, cell in enumerate(cells))
    except (csv.Error, UnicodeDecodeError):
        raise RowMalformed("it is no CSV in UTF-8") from None


def csv_line(cells: Iterable[str]) -> str:
    """One line of CSV, every cell in quotes."""
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(cells)
    return line.getvalue()


def guarded(text: str | None) -> str:
    """A text as a cell: one line, no formula, no other cell's beginning. NULL is the empty cell."""
    if text is None:
        return ""
    escaped = _ESCAPED.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    needs_guard = not escaped or escaped.startswith((_GUARD, *_FORMULA))
    return _GUARD + escaped if needs_guard else escaped


def unguarded(cell: str) -> str | None:
    """The text that `guarded` made a cell of."""
    if not cell:
        return None
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), cell.removeprefix(_GUARD))


def _cell(value: Value) -> str:
    stored = plain(value)
    if stored is None or isinstance(stored, str):
        return guarded(stored)
    return guarded(compact_json(stored))


def _value(place: int, cell: str) -> Value:
    text = unguarded(cell)
    column = COLUMNS[place]
    if text is not None and column.kind in (Kind.NUMBER, Kind.TEXTS):
        return from_plain(column, _decode_json(text))
    return from_plain(column, text)


def _encode_line(record: dict[str, object]) -> bytes:
    return compact_json(record).encode() + b"\n"


def _decode_json(text: str | bytes) -> object:
    try:
        decoded: object = json.loads(text)
    except ValueError:
        raise RowMalformed("it is no JSON in UTF-8") from None
    return decoded
