"""Judging the signals: which of them hold the run, and the sentence that says why."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from cleanup.config import Throttle
from cleanup.db.throttles import Health, SignalState
from cleanup.vocabulary import Signal

# A limit that is a lower bound is left behind by so much at least.
_LEAST_RESUME_AT: Final = 0.01


@dataclass(frozen=True, slots=True)
class _Measure:
    unit: str
    limit: Callable[[Throttle], float]


_MEASURES: Final[Mapping[Signal, _Measure]] = {
    Signal.REPLICA_LAG: _Measure("s", lambda throttle: throttle.replica_lag_seconds),
    Signal.SLOT_WAL: _Measure("MiB", lambda throttle: throttle.slot_wal_mib),
    Signal.ARCHIVE_QUEUE: _Measure("files", lambda throttle: throttle.archive_queue_files),
    Signal.ARCHIVE_FAILING: _Measure("s", lambda throttle: throttle.archive_failing_seconds),
    Signal.LONG_TRANSACTION: _Measure("s", lambda throttle: throttle.long_transaction_seconds),
    Signal.LOCK_QUEUE: _Measure("sessions", lambda throttle: throttle.lock_queue_sessions),
    Signal.VACUUM: _Measure("vacuums", lambda throttle: throttle.vacuums),
    Signal.DISK_FREE: _Measure("MiB", lambda throttle: throttle.disk_free_mib),
    Signal.WINDOW: _Measure("min", lambda _: 0),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at a signal brought: a value with its source, or None and why there is none.

    `watched` is false for a signal that nothing is configured for.
    """

    signal: Signal
    value: float | None
    detail: str
    read_at: datetime
    watched: bool = True


def judge(
    readings: Iterable[Reading], throttle: Throttle, before: Sequence[SignalState], now: datetime
) -> tuple[SignalState, ...]:
    """Every signal's state, given what it was: a signal that held the run holds it until it is well below its limit."""
    known = {state.signal: state for state in before}
    return tuple(_judge(reading, throttle, known.get(reading.signal), now) for reading in readings)


def reason_of(states: Iterable[SignalState]) -> str | None:
    """Why the run waits, in a sentence with values and limits; None where it need not."""
    return "; ".join(_sentence(state) for state in states if state.health.holds) or None


def overdue(state: SignalState, throttle: Throttle, now: datetime) -> bool:
    """Whether the signal holds the run for longer than it may and this was not told yet; a window may for ever."""
    if not state.health.holds or state.alerted or state.signal is Signal.WINDOW:
        return False
    seconds = dict(throttle.alert_after).get(state.signal, throttle.alert_after_seconds)
    return (now - state.since).total_seconds() >= seconds


def _judge(reading: Reading, throttle: Throttle, before: SignalState | None, now: datetime) -> SignalState:
    health = _health(reading, throttle, before)
    stays = before is not None and before.health is health
    state = SignalState(
        reading.signal,
        health,
        reading.value,
        _MEASURES[reading.signal].limit(throttle),
        _MEASURES[reading.signal].unit,
        reading.detail,
        reading.read_at,
        before.since if before is not None and stays else now,
        alerted=before is not None and stays and before.alerted,
    )
    return replace(state, alerted=True) if overdue(state, throttle, now) else state


def _health(reading: Reading, throttle: Throttle, before: SignalState | None) -> Health:
    signal = reading.signal
    if signal in throttle.ignore:
        return Health.IGNORED
    if not reading.watched:
        return Health.UNWATCHED
    if reading.value is None:
        return Health.ACCEPTED if signal in throttle.accept_unreadable else Health.UNREADABLE
    held = before is not None and before.health.holds
    return Health.BEYOND if _is_beyond(reading.value, throttle, signal, held=held) else Health.WELL


def _is_beyond(value: float, throttle: Throttle, signal: Signal, *, held: bool) -> bool:
    limit = _MEASURES[signal].limit(throttle)
    resume_at = throttle.resume_at if held else 1.0
    if signal is Signal.DISK_FREE:
        return value < limit / max(resume_at, _LEAST_RESUME_AT)
    return value > limit * resume_at


def _sentence(state: SignalState) -> str:
    if state.value is None:
        return f"{state.signal.value} can not be read: {state.detail}"
    if state.signal is Signal.WINDOW:
        return f"outside the window for another {state.value:,.0f} min: {state.detail}"
    return f"{state.signal.value} {_shown(state.value)} {state.unit}, limit {_shown(state.limit)}" + (
        f" ({state.detail})" if state.detail else ""
    )


def _shown(value: float) -> str:
    return f"{value:,.1f}".removesuffix(".0")
