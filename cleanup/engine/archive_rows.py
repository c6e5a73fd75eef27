"""The columns of an archived log, whatever the file format: everything that rollback and verify need."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final, TypeAlias, TypeVar

from cleanup.db.change_log import LogRow, Place

Value: TypeAlias = "int | str | bytes | datetime | tuple[str, ...] | None"
_Value = TypeVar("_Value", int, str, bytes, datetime)


class Kind(Enum):
    """What a column holds; each file format has its own form for it."""

    NUMBER = "number"
    TEXT = "text"
    TEXTS = "texts"
    BYTES = "bytes"
    INSTANT = "instant"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an archive; one that says nothing new is there for readers, and is not read back."""

    name: str
    kind: Kind
    optional: bool = False


COLUMNS: Final = (
    Column("run", Kind.NUMBER),
    Column("pass", Kind.NUMBER),
    Column("finding", Kind.NUMBER),
    Column("leaf_number", Kind.NUMBER),
    Column("table", Kind.TEXT),
    Column("leaf", Kind.TEXT),
    Column("column_number", Kind.NUMBER),
    Column("column", Kind.TEXT),
    Column("outcome", Kind.TEXT),
    Column("key", Kind.TEXTS),
    Column("created_at", Kind.INSTANT, optional=True),
    Column("author", Kind.TEXT, optional=True),
    Column("hash_before", Kind.BYTES),
    Column("hash_after", Kind.BYTES),
    Column("salt", Kind.BYTES),
    Column("edits", Kind.TEXT),
    Column("chain", Kind.BYTES),
    Column("logged_at", Kind.INSTANT),
)


class RowMalformed(ValueError):
    """A stored row is not of the columns' kinds."""


def values_of(row: LogRow, place: Place) -> tuple[Value, ...]:
    """A log row in the order of the columns, with the names of its place."""
    return (
        row.run_id,
        row.run_pass,
        row.finding_number,
        row.leaf_number,
        place.table_name,
        place.leaf_name,
        row.column_number,
        place.column_name,
        row.outcome,
        row.key,
        row.created_at.astimezone(UTC) if row.created_at else None,
        row.author,
        row.hash_before,
        row.hash_after,
        row.salt,
        row.edits,
        row.chain,
        row.logged_at.astimezone(UTC),
    )


def row_of(values: Sequence[Value]) -> LogRow:
    """The log row behind values in the order of the columns; raise RowMalformed where one is of another kind."""
    if len(values) != len(COLUMNS):
        raise RowMalformed(f"{len(values)} values instead of {len(COLUMNS)}")
    named = dict(zip((column.name for column in COLUMNS), values, strict=True))
    key = named["key"]
    if not isinstance(key, tuple):
        raise RowMalformed("key is no list of texts")
    return LogRow(
        run_id=_of(int, named["run"]),
        finding_number=_of(int, named["finding"]),
        run_pass=_of(int, named["pass"]),
        leaf_number=_of(int, named["leaf_number"]),
        column_number=_of(int, named["column_number"]),
        outcome=_of(str, named["outcome"]),
        key=key,
        created_at=None if named["created_at"] is None else _of(datetime, named["created_at"]),
        author=None if named["author"] is None else _of(str, named["author"]),
        hash_before=_of(bytes, named["hash_before"]),
        hash_after=_of(bytes, named["hash_after"]),
        salt=_of(bytes, named["salt"]),
        edits=_of(str, named["edits"]),
        chain=_of(bytes, named["chain"]),
        logged_at=_of(datetime, named["logged_at"]),
    )


def plain(value: Value) -> int | str | list[str] | None:
    """A value as JSON has it: bytes in hexadecimal, instants in ISO 8601."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return list(value) if isinstance(value, tuple) else value


def from_plain(column: Column, stored: object) -> Value:
    """What `plain` was given; raise RowMalformed where it was something else."""
    if stored is None:
        if column.optional:
            return None
        raise RowMalformed(f"{column.name} is missing")
    if column.kind is Kind.NUMBER and isinstance(stored, int):
        return stored
    if column.kind is Kind.TEXTS and isinstance(stored, list):
        return tuple(_of(str, part) for part in stored)
    text = _of(str, stored)
    try:
        if column.kind is Kind.BYTES:
            return bytes.fromhex(text)
        if column.kind is Kind.INSTANT:
            return datetime.fromisoformat(text)
    except ValueError:
        raise RowMalformed(f"{column.name} is not {column.kind.value}") from None
    if column.kind is not Kind.TEXT:
        raise RowMalformed(f"{column.name} is not {column.kind.value}")
    return text


def _of(kind: type[_Value], value: object) -> _Value:
    if not isinstance(value, kind):
        raise RowMalformed(f"a value is no {kind.__name__}")
    return value
