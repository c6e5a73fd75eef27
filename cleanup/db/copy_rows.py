"""Rows of a binary COPY: kept as raw blocks until one is worth decoding."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg import sql

from cleanup.db.connection import Connection
from cleanup.db.targets import Scope

# Signature, flags and the length of a header extension; the server sends it with the first row.
_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
_TRAILER: Final = b"\xff\xff"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_INT64: Final = struct.Struct("!q")
_INT32: Final = struct.Struct("!i")

# A row starts with its field count and the length of its first field, the scope's three letters.
SCOPE_SLICE: Final = slice(6, 8)
LINK_MARK_PLACE: Final = 8
LINK_MARK: Final = ord("l")


@dataclass(frozen=True, slots=True)
class ScannedRow:
    """One decoded row of a scan; `texts` are in the order of the configured columns."""

    scope: Scope
    created_at: datetime | None
    author: str | None
    key: tuple[str, ...]
    texts: tuple[str | None, ...]


def copy_blocks(connection: Connection, copy_statement: sql.Composed) -> Iterator[bytes]:
    """Stream the raw rows of a binary COPY, one block a row, without header and trailer."""
    with connection.cursor() as cursor, cursor.copy(copy_statement) as copy:
        blocks = iter(copy)
        first = bytes(next(blocks, _TRAILER))
        if first.startswith(_HEADER):
            first = first[len(_HEADER) :]
        if first and first != _TRAILER:
            yield first
        for block in blocks:
            if block != _TRAILER:
                yield bytes(block)


def decode_row(block: bytes, key_columns: int) -> ScannedRow:
    """Decode one row of `targets.rows`: scope, created_at, author, the key's columns, the texts."""
    fields = _fields(block)
    scope, created_at, author, *rest = fields
    assert scope is not None
    key = tuple(_text(part) or "" for part in rest[:key_columns])
    texts = tuple(_text(part) for part in rest[key_columns:])
    return ScannedRow(Scope(chr(scope[0])), _instant(created_at), _text(author), key, texts)


def _fields(block: bytes) -> list[bytes | None]:
    position = 2
    fields: list[bytes | None] = []
    while position < len(block):
        (length,) = _INT32.unpack_from(block, position)
        position += 4
        if length < 0:
            fields.append(None)
        else:
            fields.append(block[position : position + length])
            position += length
    return fields


def _text(field: bytes | None) -> str | None:
    return None if field is None else field.decode()


def _instant(field: bytes | None) -> datetime | None:
    if field is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=_INT64.unpack(field)[0])
    except OverflowError:
        # Infinity, or a year that Python's calendar does not have: the server has judged its scope already.
        return None
