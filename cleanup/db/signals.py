"""The signals as the server shows them: each is read by itself, so that one that can not be read spoils no other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

import psycopg

from cleanup.db.connection import Connection, Limits, describe_dsn, open_connection, transaction
from cleanup.db.queries import statement
from cleanup.errors import CleanupError

_Result = TypeVar("_Result")

# A signal that takes longer can not be read: the others, and the run, are not to wait for it.
SIGNAL_LIMITS: Final = Limits(lock_timeout_ms=1_000, statement_timeout_ms=2_000, idle_timeout_ms=10_000)
_CONNECT_SECONDS: Final = 2
_NEEDS_MONITOR: Final = "the role may not see it: GRANT pg_monitor to it, or accept it by name"


class SignalUnreadable(Exception):
    """There is no value, and why."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The server's time, and how far its WAL has come, in bytes since the beginning."""

    now: datetime
    wal_position: int


@dataclass(frozen=True, slots=True)
class ReplicaPosition:
    """How far a replica has replayed; `reported_lag_seconds` is the server's own word on the newest of that."""

    name: str
    wal_position: int
    reported_lag_seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A value, and where it comes from."""

    value: float
    detail: str


@dataclass(frozen=True, slots=True)
class Archiver:
    """Whether WAL is archived, whether the last try failed, at which file, and how many seconds ago."""

    is_on: bool
    is_failing: bool
    failed_file: str | None
    failed_ago: float


def attempt(connection: Connection, read: Callable[[Connection], _Result]) -> _Result | SignalUnreadable:
    """Read one signal in the open transaction; where that fails, the next one can still be read."""
    try:
        with connection.transaction():
            return read(connection)
    except SignalUnreadable as unreadable:
        return unreadable
    except psycopg.Error as error:
        if connection.broken or connection.closed:
            raise
        return SignalUnreadable(_why(error))


def server_clock_and_wal(connection: Connection) -> Clock:
    """The time and the WAL position, read together."""
    row = connection.execute(statement("signals.clock_and_wal")).fetchone()
    assert row is not None
    return Clock(row[0], int(row[1]))


def replica_positions(connection: Connection) -> list[ReplicaPosition]:
    """Every replica that streams from this server."""
    if _is(connection, "signals.replicas_are_hidden"):
        raise SignalUnreadable(_NEEDS_MONITOR)
    rows = connection.execute(statement("signals.replicas")).fetchall()
    return [ReplicaPosition(str(name), int(position), float(lag)) for name, position, lag in rows]


def slot_wal(connection: Connection) -> Measured:
    """Bytes of WAL that the laggard among the slots keeps."""
    row = connection.execute(statement("signals.slot_wal")).fetchone()
    return Measured(float(row[1]), f"slot {row[0]}") if row else Measured(0, "no slots")


def archiver(connection: Connection) -> Archiver:
    """What the archiver's own figures say."""
    row = connection.execute(statement("signals.archiver")).fetchone()
    assert row is not None
    return Archiver(bool(row[0]), bool(row[1]), row[2], float(row[3]))


def archive_queue(connection: Connection) -> Measured:
    """WAL files that wait for the archiver: counted, or estimated where they can not be listed."""
    if not archiver(connection).is_on:
        return Measured(0, "archive_mode is off")
    if not _is(connection, "signals.archive_queue_is_hidden"):
        row = connection.execute(statement("signals.archive_queue")).fetchone()
        assert row is not None
        return Measured(float(row[0]), "files in archive_status")
    row = connection.execute(statement("signals.archive_queue_estimate")).fetchone()
    if row is None or row[0] is None:
        raise SignalUnreadable(f"nothing was archived yet, and {_NEEDS_MONITOR}")
    return Measured(max(0.0, float(row[0])), "estimated from the newest archived file")


def long_transaction(connection: Connection) -> Measured:
    """Seconds since the oldest transaction of others began that keeps dead rows alive."""
    if _is(connection, "signals.transactions_are_hidden"):
        raise SignalUnreadable(_NEEDS_MONITOR)
    row = connection.execute(statement("signals.long_transaction")).fetchone()
    return Measured(float(row[1]), str(row[0])) if row else Measured(0, "no transaction of others")


def lock_queue(connection: Connection) -> Measured:
    """Sessions that wait for our batches."""
    row = connection.execute(statement("signals.lock_queue")).fetchone()
    assert row is not None
    return Measured(float(row[0]), "pg_locks")


def vacuums(connection: Connection, oids: Sequence[int]) -> Measured:
    """Vacuums at work on these tables."""
    if _is(connection, "signals.vacuums_are_hidden"):
        raise SignalUnreadable(_NEEDS_MONITOR)
    row = connection.execute(statement("signals.vacuums"), {"oids": list(oids)}).fetchone()
    assert row is not None
    return Measured(float(row[0]), str(row[1]) if row[1] else "pg_stat_progress_vacuum")


class Replica:
    """A replica that is asked itself, over a connection that is opened again when it was lost."""

    def __init__(self, dsn: str, application_name: str) -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._connection: Connection | None = None

    def position(self, system_identifier: str) -> ReplicaPosition:
        """How far it has replayed; raise SignalUnreadable, also where it is no replica of that system."""
        try:
            return self._ask(system_identifier)
        except CleanupError as error:
            raise SignalUnreadable(error.message) from None
        except psycopg.Error as error:
            self.close()
            raise SignalUnreadable(f"{describe_dsn(self._dsn)}: {_why(error)}") from None

    def _ask(self, system_identifier: str) -> ReplicaPosition:
        if self._connection is None:
            dsn = psycopg.conninfo.make_conninfo(self._dsn, connect_timeout=_CONNECT_SECONDS)
            self._connection = open_connection(dsn, self._application_name)
        with transaction(self._connection, SIGNAL_LIMITS, read_only=True) as connection:
            row = connection.execute(statement("signals.replayed")).fetchone()
        assert row is not None
        is_replica, identifier, position = row
        if not is_replica or identifier != system_identifier or position is None:
            raise SignalUnreadable(f"{describe_dsn(self._dsn)} is no replica of this server")
        return ReplicaPosition(describe_dsn(self._dsn), int(position), 0.0)

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _is(connection: Connection, question: str) -> bool:
    row = connection.execute(statement(question)).fetchone()
    return bool(row and row[0])


def _why(error: psycopg.Error) -> str:
    return f"{error.diag.message_primary or 'the connection broke'} (SQLSTATE {error.sqlstate or 'none'})"
