"""Rows of a binary COPY: kept as raw blocks until one is worth decoding."""

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import Final, Self

import psycopg
from psycopg import sql
from psycopg.abc import Buffer

from cleanup.db.connection import Connection
from cleanup.db.instants import SERVER_EPOCH
from cleanup.db.targets import SCOPES, Scope

# Signature, flags and the length of a header extension; the server sends it with the first row.
_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
_TRAILER: Final = b"\xff\xff"
_INT64: Final = struct.Struct("!q")
_INT32: Final = struct.Struct("!i")
_LENGTH_BYTES: Final = 4

# A row starts with its field count and the length of its first field, the scope's three letters.
_LETTERS: Final = slice(6, 9)
# Of a row's fields, scope, created_at and author stand before the key.
_BEFORE_KEY: Final = 3
LETTERS_PER_ROW: Final = 3
LINK_MARK: Final = ord("l")


@dataclass(frozen=True, slots=True)
class ScannedRow:
    """One decoded row of a scan; `texts` are in the order of the configured columns, None where there is nothing
    to look at. Where it stands is decoded when somebody asks: most rows with a hit hold nothing of ours."""

    scope: Scope
    texts: tuple[str | None, ...]
    _place: Sequence[bytes | None]

    @property
    def created_at(self) -> datetime | None:
        """When the post was created."""
        return _instant(self._place[0])

    @property
    def author(self) -> str | None:
        """Who wrote the post."""
        return _text(self._place[1])

    @property
    def key(self) -> tuple[str, ...]:
        """The key's columns as text."""
        return tuple([_text(part) or "" for part in self._place[2:]])


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a scan, joined as they came: where each of them ends, and the three letters that each begins with."""

    buffer: bytes
    ends: Sequence[int]
    letters: bytes

    @classmethod
    def of(cls, rows: Sequence[Buffer]) -> Self:
        """Join raw rows."""
        return cls(b"".join(rows), list(accumulate(map(len, rows))), b"".join([row[_LETTERS] for row in rows]))

    def start(self, place: int) -> int:
        """Where a row begins."""
        return self.ends[place - 1] if place else 0

    def row(self, place: int) -> bytes:
        """One raw row."""
        return self.buffer[self.start(place) : self.ends[place]]


def copy_pieces(connection: Connection, copy_statement: sql.Composed, limit_bytes: int) -> Iterator[Piece]:
    """Stream the raw rows of a binary COPY in pieces of about that size, without header and trailer."""
    rows: list[Buffer] = []
    size = 0
    for run in raw_rows(connection, copy_statement):
        rows += run
        size += sum(map(len, run))
        if size >= limit_bytes:
            yield Piece.of(rows)
            rows, size = [], 0
    if rows:
        yield Piece.of(rows)


def raw_rows(connection: Connection, copy_statement: sql.Composed) -> Iterator[list[Buffer]]:
    """Stream the raw rows of a binary COPY, without header and trailer, in runs of what has been received."""
    with connection.cursor() as cursor, cursor.copy(copy_statement) as copy:
        for run in _runs_of_rows(connection.pgconn, copy):
            if bytes(run[0][: len(_HEADER)]) == _HEADER:
                run[0] = run[0][len(_HEADER) :]
            if len(run[-1]) == len(_TRAILER):
                run.pop()
            yield run


def _runs_of_rows(pgconn: psycopg.pq.abc.PGconn, copy: psycopg.Copy) -> Iterator[list[Buffer]]:
    """What the server sent, in runs of what has been received.

    A row costs one call here, and nothing else: psycopg's own loop, which waits for the socket where there is
    nothing to read, is only asked then.
    """
    get_copy_data = pgconn.get_copy_data
    while True:
        run: list[Buffer] = []
        length, row = get_copy_data(1)
        while length > 0:
            run.append(row)
            length, row = get_copy_data(1)
        if run:
            yield run
        if length < 0:
            _require_success(pgconn)
            return
        waited_for = copy.read()
        if not waited_for:
            return
        yield [waited_for]


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
    fields, ends = split_row(block)
    first = _BEFORE_KEY + key_columns
    texts = fields[first:]
    if hits is not None:
        # A text's bytes lie between the end of the field before it and its own.
        behind = [bisect_right(hits, end) for end in ends[first - 1 :]]
        texts = [text if start < end else None for text, (start, end) in zip(texts, pairwise(behind), strict=True)]
    return ScannedRow(SCOPES[chr(block[_LETTERS.start])], tuple([_text(text) for text in texts]), fields[1:first])


def split_row(block: bytes) -> tuple[list[bytes | None], list[int]]:
    """The fields of a raw row, and where each of them ends."""
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
        return SERVER_EPOCH + timedelta(microseconds=_INT64.unpack(field)[0])
    except OverflowError:
        # Infinity, or a year that Python's calendar does not have: the server has judged its scope already.
        return None
