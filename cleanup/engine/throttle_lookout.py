"""One job's lookout over a run: it sees the signals, judges them, and writes down whether they hold the run.

Of several jobs that work on one run, one does that; the others see what it wrote, and take over once that is old.
"""

import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cleanup.config import Pace, Throttle
from cleanup.config_pace import with_settings
from cleanup.db.connection import Connection
from cleanup.db.controls import Control, RunGate, Wish, look_at_gate
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.retry import Pause
from cleanup.db.throttles import Health, SignalState, ThrottleState, read_throttle_state, write_throttle_state
from cleanup.engine.control import WISH_EVENTS
from cleanup.engine.job import Job
from cleanup.engine.throttle import judge, reason_of
from cleanup.engine.throttle_signals import SignalReader
from cleanup.engine.wal_budget import WalBudget
from cleanup.event_catalogue import Event
from cleanup.log import tell

EVERY_SECONDS: Final = 1.0
# Where WAL is limited, a second would be a long time to write without looking.
WAL_EVERY_SECONDS: Final = 0.25
# Where nothing has changed, so often is enough: while an old transaction lasts, every version of the row stays.
_WRITE_EVERY_SECONDS: Final = 2.0
# After so long without a word another job takes over; `cleanup.may_write` believes it for a little longer.
_STALE_SECONDS: Final = 5.0
# What was found longer ago says nothing of today's signals.
_REMEMBERED_SECONDS: Final = 60.0
_MIB: Final = 1 << 20
# What the config or somebody takes the risk of is recorded once.
RECORDED_EVENTS: Final[Mapping[Health, Event]] = {
    Health.ACCEPTED: Event.THROTTLE_ACCEPTED,
    Health.IGNORED: Event.THROTTLE_IGNORED,
}


@dataclass(frozen=True, slots=True)
class _Turn:
    """Something that is different from the last look, as an event."""

    event: Event
    signal: str
    seconds: int
    reason: str

    @property
    def is_said(self) -> bool:
        """Whether every job says it by itself."""
        return self.event in (Event.THROTTLE_PAUSED, Event.THROTTLE_RESUMED)


class Lookout:
    """What a job knows of its run's signals; `pace` is the config's with what `set` has put in its place."""

    def __init__(self, job: Job, run_id: int, oids: Sequence[int], application_name: str, pause: Pause) -> None:
        self.pace: Pace = job.config.pace
        self._job = job
        self._run_id = run_id
        self._database = Database(job.dsn, application_name, patient=True, pause=pause)
        self._signals = SignalReader(job, oids, application_name)
        self._budget = WalBudget()
        self._reader = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex[:8]}"
        self._states: tuple[SignalState, ...] = ()
        self._read_at = self._written_at = float("-inf")
        self._open_from = float("-inf")
        self._said: tuple[str, ...] = ()
        self._control: Control | None = None
        self._alerted_revision = 0

    def look(self) -> None:
        """See what there is, and see to it that the run's word is fresh."""
        gate, word = self._database.transact(self._read, read_only=True)
        self.pace, throttle = with_settings(self._job.config.pace, self._job.config.throttle, gate.control.settings)
        self._say_control(gate.control)
        if word is not None and word.reader != self._reader and word.age_seconds < _STALE_SECONDS:
            self._states = word.signals
            self._say(word.reason, word.signals)
            return
        before = self._states or (word.signals if word and word.age_seconds < _REMEMBERED_SECONDS else ())
        now, position = self._see(throttle, before)
        turns = [*_turns(before, self._states, now), *self._overdue_pause(gate.control, throttle, now)]
        self._write(turns, self._wait_seconds(position))
        self._say(reason_of(self._states), self._states)

    def close(self) -> None:
        """Let go of every connection."""
        self._signals.close()
        self._database.close()

    def _read(self, connection: Connection) -> tuple[RunGate, ThrottleState | None]:
        return look_at_gate(connection, self._run_id), read_throttle_state(connection, self._run_id)

    def _see(self, throttle: Throttle, before: Sequence[SignalState]) -> tuple[datetime, int]:
        if time.monotonic() - self._read_at < EVERY_SECONDS - WAL_EVERY_SECONDS / 2:
            # Between two looks at all signals only the WAL is looked at.
            clock = self._signals.clock(self._database)
        else:
            self._read_at = time.monotonic()
            clock, readings = self._signals.read(self._database, throttle)
            self._states = judge(readings, throttle, before, clock.now)
        return clock.now, clock.wal_position

    def _wait_seconds(self, position: int) -> float:
        now = time.monotonic()
        # A batch that was open when the bucket ran dry writes on for a moment.
        working = now > self._open_from or now < self._written_at + WAL_EVERY_SECONDS
        limit = self.pace.wal_mib_per_second * _MIB
        wait = self._budget.note(now, position, working=working, bytes_per_second=limit)
        self._open_from = now + wait
        return wait

    def _write(self, turns: Sequence[_Turn], wait_seconds: float) -> None:
        is_due = time.monotonic() - self._written_at >= _WRITE_EVERY_SECONDS
        if not turns and not wait_seconds and not is_due:
            return

        def write(connection: Connection) -> bool:
            ours = write_throttle_state(
                connection,
                self._run_id,
                self._reader,
                self._states,
                reason=reason_of(self._states),
                wait_seconds=wait_seconds,
                wal_bytes_per_second=self._budget.bytes_per_second,
                stale_seconds=_STALE_SECONDS,
            )
            for turn in turns if ours else ():
                add_event(
                    connection,
                    turn.event,
                    run_id=self._run_id,
                    signal=turn.signal,
                    seconds=turn.seconds,
                    reason=turn.reason,
                )
            return ours

        if self._database.transact(write):
            self._written_at = time.monotonic()
            for turn in turns:
                if not turn.is_said:
                    tell(turn.event, run=self._run_id, signal=turn.signal, reason=turn.reason)

    def _say(self, reason: str | None, states: Sequence[SignalState]) -> None:
        # Every job says why its lanes wait, whoever saw it; but once.
        holding = _holding(states)
        if holding == self._said:
            return
        self._said = holding
        if reason is None:
            tell(Event.THROTTLE_RESUMED, run=self._run_id)
        else:
            tell(Event.THROTTLE_PAUSED, run=self._run_id, reason=reason)

    def _say_control(self, control: Control) -> None:
        before, self._control = self._control, control
        if control.wish is (before.wish if before is not None else Wish.GO):
            return
        event = WISH_EVENTS[control.wish]
        tell(event, run=self._run_id, by=control.asked_by, reason=control.reason)

    def _overdue_pause(self, control: Control, throttle: Throttle, now: datetime) -> Iterator[_Turn]:
        # A pause that somebody forgot looks like a run that works.
        if control.wish is not Wish.PAUSE or control.asked_at is None or control.revision == self._alerted_revision:
            return
        seconds = int((now - control.asked_at).total_seconds())
        if seconds >= throttle.alert_after_seconds:
            self._alerted_revision = control.revision
            yield _Turn(Event.THROTTLE_ALERT, "pause", seconds, control.reason or "")


def _turns(before: Sequence[SignalState], now: Sequence[SignalState], at: datetime) -> Iterator[_Turn]:
    if _holding(before) != _holding(now):
        reason = reason_of(now)
        if reason is None:
            held = [state for state in before if state.health.holds]
            began = min(state.since for state in held)
            yield _Turn(Event.THROTTLE_RESUMED, " ".join(_holding(before)), _seconds(began, at), reason_of(held) or "")
        else:
            yield _Turn(Event.THROTTLE_PAUSED, " ".join(_holding(now)), 0, reason)
    known = {state.signal: state for state in before}
    for state in now:
        was = known.get(state.signal)
        if state.alerted and not (was is not None and was.alerted):
            yield _Turn(
                Event.THROTTLE_ALERT, state.signal.value, _seconds(state.since, at), reason_of([state]) or state.detail
            )
        if state.health in RECORDED_EVENTS and (was is None or was.health is not state.health):
            yield _Turn(RECORDED_EVENTS[state.health], state.signal.value, 0, state.detail)


def _seconds(since: datetime, at: datetime) -> int:
    return int((at - since).total_seconds())


def _holding(states: Sequence[SignalState]) -> tuple[str, ...]:
    return tuple(state.signal.value for state in states if state.health.holds)
