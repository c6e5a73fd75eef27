"""What the job that watches a run found last: the signals, and whether they hold it. One row a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from psycopg.types.json import Jsonb

from cleanup.db.connection import Connection
from cleanup.db.queries import run_statement
from cleanup.vocabulary import Signal


class Health(Enum):
    """What a signal says, and what the config makes of it."""

    WELL = "well"
    BEYOND = "beyond its limit"
    UNREADABLE = "unreadable"
    ACCEPTED = "unreadable, which the config accepts"
    IGNORED = "ignored"
    UNWATCHED = "not watched"

    @property
    def holds(self) -> bool:
        """Whether the run waits for it."""
        return self in (Health.BEYOND, Health.UNREADABLE)


@dataclass(frozen=True, slots=True)
class SignalState:
    """One signal as it was judged last; `since` is how long its health has been what it is.

    `detail` is where the value comes from, or why there is none; `alerted` says that it has held the run for
    longer than it may, and that this was told.
    """

    signal: Signal
    health: Health
    value: float | None
    limit: float
    unit: str
    detail: str
    read_at: datetime
    since: datetime
    alerted: bool = False


@dataclass(frozen=True, slots=True)
class ThrottleState:
    """What holds the run, if anything; `age_seconds` is how old this word is, and `may_write` whether it counts."""

    reason: str | None
    since: datetime
    signals: tuple[SignalState, ...]
    wal_bytes_per_second: int | None
    reader: str
    read_at: datetime
    age_seconds: float
    may_write: bool


def read_throttle_state(connection: Connection, run_id: int) -> ThrottleState | None:
    """What was found last; None where no job has ever watched the run."""
    row = connection.execute(run_statement("throttles.read", run_id), {"run_id": run_id}).fetchone()
    if row is None:
        return None
    reason, since, signals, *rest = row
    return ThrottleState(reason, since, tuple(_state_of(stored) for stored in signals), *rest)


def write_throttle_state(
    connection: Connection,
    run_id: int,
    reader: str,
    signals: Sequence[SignalState],
    *,
    reason: str | None,
    wait_seconds: float,
    wal_bytes_per_second: int | None,
    stale_seconds: float,
) -> bool:
    """Replace our own word, or one that is old; False where another job has the word."""
    cursor = connection.execute(
        run_statement("throttles.write", run_id),
        {
            "run_id": run_id,
            "reader": reader,
            "signals": Jsonb([_stored(state) for state in signals]),
            "reason": reason,
            "wait_seconds": wait_seconds,
            "wal_bytes_per_second": wal_bytes_per_second,
            "stale_seconds": stale_seconds,
        },
    )
    return cursor.rowcount == 1


def _stored(state: SignalState) -> dict[str, object]:
    return {
        "signal": state.signal.value,
        "health": state.health.value,
        "value": state.value,
        "limit": state.limit,
        "unit": state.unit,
        "detail": state.detail,
        "read_at": state.read_at.isoformat(),
        "since": state.since.isoformat(),
        "alerted": state.alerted,
    }


def _state_of(stored: dict[str, object]) -> SignalState:
    value, limit = stored["value"], stored["limit"]
    assert isinstance(limit, int | float)
    return SignalState(
        Signal(stored["signal"]),
        Health(stored["health"]),
        float(value) if isinstance(value, int | float) else None,
        float(limit),
        str(stored["unit"]),
        str(stored["detail"]),
        datetime.fromisoformat(str(stored["read_at"])),
        datetime.fromisoformat(str(stored["since"])),
        alerted=stored["alerted"] is True,
    )
