"""Rows of a binary COPY: kept as raw blocks until one is worth decoding."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from itertools import accumulate
from typing import Final, NamedTuple, TypeAlias

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
_COUNT_BYTES: Final = 2
_LENGTH_BYTES: Final = 4

# A row starts with its field count and the length of its first field, the scope's three letters; the texts follow.
_LETTERS: Final = slice(6, 9)
_FIRST_TEXT: Final = _LETTERS.stop
SCOPE_LETTER, NULL_LETTER, LINK_LETTER = range(3)
NULL_MARK: Final = b"n"
LINK_MARK: Final = ord("l")
_SCOPES: Final = {ord(letter): scope for letter, scope in SCOPES.items()}


# libpq's: a row and its length; 0 where none has been received yet, less at the end.
_GetCopyData: TypeAlias = Callable[[int], tuple[int, memoryview]]


class RowPlace(NamedTuple):
    """When and by whom a row was written, and its key as text."""

    created_at: datetime | None
    author: str | None
    key: tuple[str, ...]


class ScannedRow(NamedTuple):
    """One row of a scan, taken apart as far as its texts: most rows with a hit hold nothing of ours.

    `texts` says where in the piece's buffer each of them begins and ends, in the order of the configured columns, None
    where there is nothing to look at.
    """

    scope: Scope
    texts: Sequence[tuple[int, int] | None]
    buffer: bytes
    behind_texts: int
    end: int

    def place(self) -> RowPlace:
        """Decode the rest of the row."""
        created_at, author, *key = _fields(self.buffer, self.behind_texts, self.end)
        return RowPlace(_instant(created_at), _text(author), tuple([_text(part) or "" for part in key]))


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a COPY, joined as they came, and where each of them ends."""

    buffer: bytes
    ends: Sequence[int]

    def start(self, place: int) -> int:
        """Where a row begins."""
        return self.ends[place - 1] if place else 0

    def letters(self, which: int) -> bytes:
        """One of the three letters that each row of a scan begins with: `SCOPE_LETTER`, or another of them."""
        buffer, place = self.buffer, _LETTERS.start + which
        return bytes([buffer[start + place] for start in (0, *self.ends[:-1])])

    def row(self, place: int, texts: int) -> ScannedRow:
        """One row of `targets.rows` with so many texts."""
        start = self.start(place)
        position = start + _FIRST_TEXT
        bounds: list[tuple[int, int] | None] = []
        for _ in range(texts):
            (length,) = _INT32.unpack_from(self.buffer, position)
            position += _LENGTH_BYTES
            bounds.append(None if length < 0 else (position, position + length))
            position += max(length, 0)
        return ScannedRow(_SCOPES[self.buffer[start + _LETTERS.start]], bounds, self.buffer, position, self.ends[place])


def copy_pieces(connection: Connection, copy_statement: sql.Composed, limit_bytes: int) -> Iterator[Piece]:
    """Stream the raw rows of a binary COPY in pieces of about that size, without header and trailer.

    A row costs one call of libpq and two here: psycopg's own loop, which waits for the socket where there is nothing
    to read, is only asked then.
    """
    pgconn = connection.pgconn
    with connection.cursor() as cursor, cursor.copy(copy_statement) as copy:
        filling = _Filling(limit_bytes)
        more: Buffer = bytes(copy.read()).removeprefix(_HEADER)
        while more:
            filling.take(more)
            if filling.size < limit_bytes and filling.take_received(pgconn.get_copy_data):
                _require_success(pgconn)
                break
            if filling.size >= limit_bytes:
                yield filling.piece()
            more = copy.read()
        if (rest := filling.piece()).ends:
            yield rest


class _Filling:
    """The rows of the next piece; their memory is asked for once, since a page of it costs more than what it holds."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._stream = BytesIO(bytes(limit_bytes))
        self._lengths: list[int] = []

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self._stream.tell()

    def take(self, row: Buffer) -> None:
        """Add one row."""
        self._lengths.append(self._stream.write(row))

    def take_received(self, get_copy_data: _GetCopyData) -> bool:
        """Add all that has been received, without waiting for more; True at the end of the stream."""
        write, note = self._stream.write, self._lengths.append
        length, row = get_copy_data(1)
        while length > 0:
            note(write(row))
            length, row = get_copy_data(1)
        return length < 0

    def piece(self) -> Piece:
        """What was added, and begin anew."""
        if self._lengths and self._lengths[-1] == len(_TRAILER):
            self._lengths.pop()
        ends = list(accumulate(self._lengths))
        with self._stream.getbuffer() as written:
            piece = Piece(bytes(written[: ends[-1] if ends else 0]), ends)
            has_grown = len(written) > 2 * self._limit_bytes
        self._lengths.clear()
        if has_grown:
            # One long post is no reason to hold on to so much.
            self._stream = BytesIO(bytes(self._limit_bytes))
        self._stream.seek(0)
        return piece


def _require_success(pgconn: psycopg.pq.abc.PGconn) -> None:
    """Take the result behind the last row; raise the server's error if it is one."""
    failed: psycopg.pq.abc.PGresult | None = None
    while (result := pgconn.get_result()) is not None:
        if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
            failed = result
    if failed is not None:
        raise psycopg.errors.error_from_result(failed)


def split_row(row: bytes) -> list[bytes | None]:
    """The fields of a raw row."""
    return _fields(row, _COUNT_BYTES, len(row))


def _fields(buffer: bytes, position: int, end: int) -> list[bytes | None]:
    fields: list[bytes | None] = []
    unpack = _INT32.unpack_from
    while position < end:
        (length,) = unpack(buffer, position)
        position += _LENGTH_BYTES
        if length < 0:
            fields.append(None)
        else:
            fields.append(buffer[position : position + length])
            position += length
    return fields


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
