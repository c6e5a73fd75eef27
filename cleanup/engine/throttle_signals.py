"""Reading the signals of a run: from the primary, from the config's replicas, and by the operator's command."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from cleanup.config import Throttle
from cleanup.db import signals
from cleanup.db.catalog import database_identity
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.signals import (
    SIGNAL_LIMITS,
    Archiver,
    Clock,
    Measured,
    Replica,
    ReplicaPosition,
    SignalUnreadable,
    attempt,
)
from cleanup.engine.free_disk import free_disk_bytes
from cleanup.engine.job import Job
from cleanup.engine.replica_lag import WalHistory
from cleanup.engine.throttle import Reading
from cleanup.engine.window import minutes_until_open
from cleanup.vocabulary import Signal

_Question = Callable[[Connection], Measured]
_Found = dict[Signal, Measured | SignalUnreadable]

_MIB: Final = 1 << 20
# The operator's command is a process: once in so many seconds is enough for a disk.
_COMMAND_SECONDS: Final = 5.0


class SignalReader:
    """One job's eyes: what it has seen before is part of what it sees now."""

    def __init__(self, job: Job, oids: Sequence[int], application_name: str) -> None:
        self._job = job
        self._oids = oids
        self._replicas = [Replica(dsn, application_name) for dsn in job.config.throttle.replicas]
        self._history = WalHistory()
        self._system_identifier = ""
        self._failing_since: float | None = None
        self._disk: Reading | None = None
        self._disk_at = 0.0

    def clock(self, database: Database) -> Clock:
        """The server's clock and WAL position alone."""
        return database.transact(signals.server_clock_and_wal, SIGNAL_LIMITS, read_only=True)

    def read(self, database: Database, throttle: Throttle) -> tuple[Clock, list[Reading]]:
        """The server's clock, and a reading of every signal; one that is ignored is not looked at.

        The primary is asked in one transaction, which is over before a replica or a command is waited for.
        """
        clock, found = database.transact(lambda one: self._ask_primary(one, throttle), SIGNAL_LIMITS, read_only=True)
        if self._replicas and Signal.REPLICA_LAG not in throttle.ignore:
            found[Signal.REPLICA_LAG] = self._ask_replicas(clock, found[Signal.REPLICA_LAG])
        return clock, [self._reading(signal, database, clock, found, throttle) for signal in Signal]

    def close(self) -> None:
        """Let go of the replicas."""
        for replica in self._replicas:
            replica.close()

    def _ask_primary(self, connection: Connection, throttle: Throttle) -> tuple[Clock, _Found]:
        clock = signals.server_clock_and_wal(connection)
        self._history.note(clock.wal_position, time.monotonic())
        if self._replicas and not self._system_identifier:
            self._system_identifier = database_identity(connection).system_identifier
        questions: dict[Signal, _Question] = {
            Signal.REPLICA_LAG: lambda one: self._lag(clock, signals.replica_positions(one)),
            Signal.SLOT_WAL: lambda one: _in_mib(signals.slot_wal(one)),
            Signal.ARCHIVE_QUEUE: signals.archive_queue,
            Signal.ARCHIVE_FAILING: lambda one: self._archive_failing(signals.archiver(one)),
            Signal.LONG_TRANSACTION: signals.long_transaction,
            Signal.LOCK_QUEUE: signals.lock_queue,
            Signal.VACUUM: lambda one: signals.vacuums(one, self._oids),
        }
        asked = {signal: question for signal, question in questions.items() if signal not in throttle.ignore}
        return clock, {signal: attempt(connection, question) for signal, question in asked.items()}

    def _lag(self, clock: Clock, positions: Sequence[ReplicaPosition]) -> Measured:
        left_out = self._job.config.throttle.replicas_left_out
        counted = [replica for replica in positions if replica.name not in left_out]
        slowest = self._history.slowest(counted, time.monotonic())
        if slowest is None:
            return Measured(0, "no replicas")
        lag, replica = slowest
        behind = max(0, clock.wal_position - replica.wal_position) / _MIB
        return Measured(lag, f"{replica.name}, {behind:,.1f} MiB behind")

    def _ask_replicas(self, clock: Clock, streaming: Measured | SignalUnreadable) -> Measured | SignalUnreadable:
        # One that does not answer is worse than any that lags.
        try:
            asked = self._lag(clock, [replica.position(self._system_identifier) for replica in self._replicas])
        except SignalUnreadable as unreadable:
            return unreadable
        if isinstance(streaming, SignalUnreadable):
            # The role may not see who streams: then those that the config names are all that there is to go by.
            return asked
        return max(streaming, asked, key=lambda measured: measured.value)

    def _archive_failing(self, archiver: Archiver) -> Measured:
        if not archiver.is_failing:
            self._failing_since = None
            return Measured(0, "pg_stat_archiver" if archiver.is_on else "archive_mode is off")
        now = time.monotonic()
        # Nothing has come through since that failure: it fails for as long already when it is first looked at.
        self._failing_since = self._failing_since or now - archiver.failed_ago
        return Measured(now - self._failing_since, f"the last failure was {archiver.failed_file}")

    def _reading(self, signal: Signal, database: Database, clock: Clock, found: _Found, throttle: Throttle) -> Reading:
        if signal in throttle.ignore:
            return Reading(signal, None, "not looked at", clock.now)
        if signal is Signal.DISK_FREE:
            return self._disk_free(database, clock)
        if signal is Signal.WINDOW:
            return self._window(clock)
        answer = found[signal]
        if isinstance(answer, SignalUnreadable):
            return Reading(signal, None, str(answer), clock.now)
        return Reading(signal, answer.value, answer.detail, clock.now)

    def _disk_free(self, database: Database, clock: Clock) -> Reading:
        check = self._job.config.check
        if not check.free_disk_query and not check.free_disk_command:
            why = "[check] has no query or command that tells it"
            return Reading(Signal.DISK_FREE, None, why, clock.now, watched=False)
        if self._disk is None or check.free_disk_query or time.monotonic() - self._disk_at >= _COMMAND_SECONDS:
            self._disk_at = time.monotonic()
            if check.free_disk_query:
                found = database.transact(self._free_bytes, SIGNAL_LIMITS, read_only=True)
            else:
                # A command needs no transaction, and may take its time.
                found = self._free_bytes(database.connection())
            if isinstance(found, int):
                source = "free_disk_query" if check.free_disk_query else "free_disk_command"
                self._disk = Reading(Signal.DISK_FREE, found / _MIB, source, clock.now)
            else:
                self._disk = Reading(Signal.DISK_FREE, None, found, clock.now)
        return self._disk

    def _free_bytes(self, connection: Connection) -> int | str:
        return free_disk_bytes(connection, self._job.config.check)

    def _window(self, clock: Clock) -> Reading:
        window = self._job.config.window
        if window is None:
            return Reading(Signal.WINDOW, None, "the config has no [window]", clock.now, watched=False)
        spans = ", ".join(f"{start:%H:%M}-{end:%H:%M}" for start, end in window.only_between)
        minutes = minutes_until_open(window, clock.now)
        return Reading(Signal.WINDOW, minutes, f"{spans} {window.time_zone.key}", clock.now)


def _in_mib(measured: Measured) -> Measured:
    return Measured(measured.value / _MIB, measured.detail)
