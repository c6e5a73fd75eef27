"""Instants as the server counts them, and those that Python can not hold: a tampered ledger must be readable, or nobody
could say what is wrong with it."""

from datetime import UTC, datetime
from typing import Final

import psycopg
from psycopg.abc import Buffer
from psycopg.types.datetime import TimestamptzBinaryLoader, TimestamptzLoader

# The server counts microseconds from here.
SERVER_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
OUT_OF_RANGE: Final = datetime.max.replace(tzinfo=UTC)


class _AnyInstant(TimestamptzLoader):
    def load(self, data: Buffer) -> datetime:
        try:
            return super().load(data)
        except psycopg.DataError:
            return OUT_OF_RANGE


class _AnyBinaryInstant(TimestamptzBinaryLoader):
    def load(self, data: Buffer) -> datetime:
        try:
            return super().load(data)
        except psycopg.DataError:
            return OUT_OF_RANGE


def read_any_instant(cursor: psycopg.Cursor[object]) -> None:
    """Let this cursor read `infinity` and years beyond 9999, as an instant that nothing of ours has."""
    cursor.adapters.register_loader("timestamptz", _AnyInstant)
    cursor.adapters.register_loader("timestamptz", _AnyBinaryInstant)
