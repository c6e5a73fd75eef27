"""Rows of a binary COPY: kept as raw blocks until one is worth decoding."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from typing import Final

import psycopg
from psycopg import sql
from psycopg.abc import Buffer

from cleanup.db.connection import Connection
from cleanup.db.targets import Scope

# Signature, flags and the length of a header extension; the server sends it with the first row.
_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
_TRAILER: Final = b"\xff\xff"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_INT64: Final = struct.Struct("!q")
_INT32: Final = struct.Struct("!i")
_LENGTH_BYTES: Final = 4

# A row starts with its field count and the length of its first field, the scope's three letters.
_LETTERS: Final = slice(6, 9)
LETTERS_PER_ROW: Final = 3
LINK_MARK: Final = ord("l")


@dataclass(frozen=True, slots=True)
class ScannedRow:
    """One decoded row of a scan; `texts` are in the order of the configured columns, None where there is nothing
    to look at."""

    scope: Scope
    created_at: datetime | None
    author: str | None
    key: tuple[str, ...]
    texts: tuple[str | None, ...]


@dataclass(slots=True)
class Piece:
    """Rows of a scan, joined as they came: where each of them ends, and the three letters that each begins with."""

    buffer: bytearray = field(default_factory=bytearray)
    ends: list[int] = field(default_factory=list)
    letters: bytearray = field(default_factory=bytearray)

    def start(self, place: int) -> int:
        """Where a row begins."""
        return self.ends[place - 1] if place else 0

    def row(self, place: int) -> bytes:
        """One raw row."""
        return bytes(self.buffer[self.start(place) : self.ends[place]])


def copy_pieces(connection: Connection, copy_statement: sql.Composed, limit_bytes: int) -> Iterator[Piece]:
    """Stream the raw rows of a binary COPY in pieces of about that size, without header and trailer.

    A row costs one call here, and nothing else: psycopg's own loop, which waits for the socket where there is
    nothing to read, is only asked then.
    """
    with connection.cursor() as cursor, cursor.copy(copy_statement) as copy:
        rows = _raw_rows(connection.pgconn, copy)
        first = bytes(next(rows, _TRAILER))
        if first.startswith(_HEADER):
            first = first[len(_HEADER) :]
        piece = Piece()
        buffer, ends, letters = piece.buffer, piece.ends, piece.letters
        for row in chain((first,) if first else (), rows):
            if len(row) == len(_TRAILER):
                continue
            buffer += row
            ends.append(len(buffer))
            letters += row[_LETTERS]
            if len(buffer) >= limit_bytes:
                yield piece
                piece = Piece()
                buffer, ends, letters = piece.buffer, piece.ends, piece.letters
        if ends:
            yield piece


def _raw_rows(pgconn: psycopg.pq.abc.PGconn, copy: psycopg.Copy) -> Iterator[Buffer]:
    get_copy_data = pgconn.get_copy_data
    while True:
        length, row = get_copy_data(1)
        if length > 0:
            yield row
        elif length == 0:
            waited_for = copy.read()
            if not waited_for:
                return
            yield waited_for
        else:
            _require_success(pgconn)
            return


def _require_success(pgconn: psycopg.pq.abc.PGconn) -> None:
    """Take the result behind the last row; raise the server's error if it is one."""
    failed: psycopg.pq.abc.PGresult | None = None
    while (result := pgconn.get_result()) is not None:
        if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
            failed = result
    if failed is not None:
        raise psycopg.errors.error_from_result(failed)


def decode_row(block: bytes, key_columns: int, hits: Sequence[int] | None = None) -> ScannedRow:
    """Decode one row of `targets.rows`: scope, created_at, author, the key's columns, the texts.

    `hits` are byte offsets in the row, each behind something: a text that none of them lies in is left out.
    """
    fields, ends = _fields(block)
    scope, created_at, author, *rest = fields
    assert scope is not None
    key = tuple(_text(part) or "" for part in rest[:key_columns])
    texts = rest[key_columns:]
    if hits is not None:
        floors = ends[-len(texts) - 1 :]
        texts = [
            text if any(floor < hit <= end for hit in hits) else None
            for text, (floor, end) in zip(texts, pairwise(floors), strict=True)
        ]
    return ScannedRow(Scope(chr(scope[0])), _instant(created_at), _text(author), key, tuple(map(_text, texts)))


def _fields(block: bytes) -> tuple[list[bytes | None], list[int]]:
    """The fields of a row, and where each of them ends."""
    position = 2
    fields: list[bytes | None] = []
    ends: list[int] = []
    unpack = _INT32.unpack_from
    while position < len(block):
        (length,) = unpack(block, position)
        position += _LENGTH_BYTES
        if length < 0:
            fields.append(None)
        else:
            fields.append(block[position : position + length])
            position += length
        ends.append(position)
    return fields, ends


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
