"""Long arrays as parameters, in the server's binary form: the text form would look at every character for quotes."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Final

import psycopg
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

from cleanup.db.instants import SERVER_EPOCH

# PostgreSQL's own numbers of these types, and of arrays of them; they never change.
_TEXT, _TEXT_ARRAY = 25, 1009
_BYTEA, _BYTEA_ARRAY = 17, 1001
_INT8, _INT8_ARRAY = 20, 1016
_TIMESTAMPTZ, _TIMESTAMPTZ_ARRAY = 1184, 1185
_MICROSECOND: Final = timedelta(microseconds=1)

_HEAD: Final = struct.Struct("!iiIii")
_EMPTY_HEAD: Final = struct.Struct("!iiI")
_LENGTH: Final = struct.Struct("!i")
_INT8_ITEM: Final = struct.Struct("!iq")
_NULL: Final = _LENGTH.pack(-1)


@dataclass(frozen=True, slots=True)
class TextArray:
    """text[], with None for NULL."""

    items: Sequence[str | None]

    def packed(self) -> bytes:
        """The array as the server reads it."""
        return _pack(_TEXT, [None if item is None else item.encode() for item in self.items])


@dataclass(frozen=True, slots=True)
class BytesArray:
    """bytea[], with None for NULL."""

    items: Sequence[bytes | None]

    def packed(self) -> bytes:
        """The array as the server reads it."""
        return _pack(_BYTEA, self.items)


@dataclass(frozen=True, slots=True)
class IntegerArray:
    """bigint[] without NULLs."""

    items: Sequence[int]

    def packed(self) -> bytes:
        """The array as the server reads it."""
        return _pack_integers(_INT8, self.items)


@dataclass(frozen=True, slots=True)
class InstantArray:
    """timestamptz[] without NULLs, of aware instants."""

    items: Sequence[datetime]

    def packed(self) -> bytes:
        """The array as the server reads it."""
        return _pack_integers(_TIMESTAMPTZ, [(item - SERVER_EPOCH) // _MICROSECOND for item in self.items])


def _pack_integers(element_oid: int, items: Sequence[int]) -> bytes:
    parts = [_head(element_oid, len(items), has_null=False)]
    parts += [_INT8_ITEM.pack(_INT8_ITEM.size - _LENGTH.size, item) for item in items]
    return b"".join(parts)


def _pack(element_oid: int, items: Sequence[bytes | None]) -> bytes:
    parts = [_head(element_oid, len(items), has_null=None in items)]
    for item in items:
        if item is None:
            parts.append(_NULL)
        else:
            parts += (_LENGTH.pack(len(item)), item)
    return b"".join(parts)


def _head(element_oid: int, items: int, *, has_null: bool) -> bytes:
    if not items:
        return _EMPTY_HEAD.pack(0, 0, element_oid)
    return _HEAD.pack(1, has_null, element_oid, items, 1)


class _ArrayDumper(Dumper):
    """Not known by the array's type, only by our class: COPY looks its dumpers up by type, and hands them lists."""

    format = Format.BINARY
    array_oid: ClassVar[int]

    def __init__(self, cls: type, context: AdaptContext | None = None) -> None:
        super().__init__(cls, context)
        self.oid = self.array_oid

    def dump(self, obj: TextArray | BytesArray | IntegerArray | InstantArray) -> bytes:
        return obj.packed()


class _TextArrayDumper(_ArrayDumper):
    array_oid = _TEXT_ARRAY


class _BytesArrayDumper(_ArrayDumper):
    array_oid = _BYTEA_ARRAY


class _IntegerArrayDumper(_ArrayDumper):
    array_oid = _INT8_ARRAY


class _InstantArrayDumper(_ArrayDumper):
    array_oid = _TIMESTAMPTZ_ARRAY


psycopg.adapters.register_dumper(TextArray, _TextArrayDumper)
psycopg.adapters.register_dumper(BytesArray, _BytesArrayDumper)
psycopg.adapters.register_dumper(IntegerArray, _IntegerArrayDumper)
psycopg.adapters.register_dumper(InstantArray, _InstantArrayDumper)
