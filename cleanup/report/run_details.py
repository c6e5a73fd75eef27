"""What is told of a run beyond its totals: its timing, what stood in its way, what was asked of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cleanup.db.batches import run_totals
from cleanup.db.connection import Connection
from cleanup.db.report_run import (
    EventLine,
    PassLine,
    ReasonCount,
    TableWork,
    conflict_reasons,
    run_events,
    run_passes,
    run_tables,
)

_EVENTS: Final = 500


@dataclass(frozen=True, slots=True)
class RunDetails:
    """The depth of a run's report; `written_seconds` lie between its first and its last batch, pauses included."""

    first_written_at: datetime | None
    last_written_at: datetime | None
    written_seconds: float | None
    tables: tuple[TableWork, ...]
    passes: tuple[PassLine, ...]
    conflicts: tuple[ReasonCount, ...]
    events: tuple[EventLine, ...]


def run_details(connection: Connection, run_id: int) -> RunDetails:
    """Read the details of a run from the ledger."""
    totals = run_totals(connection, run_id)
    first, last = totals.first_written_at, totals.last_written_at
    return RunDetails(
        first_written_at=first,
        last_written_at=last,
        written_seconds=round((last - first).total_seconds(), 3) if first and last else None,
        tables=run_tables(connection, run_id),
        passes=run_passes(connection, run_id),
        conflicts=conflict_reasons(connection, run_id),
        events=run_events(connection, run_id, _EVENTS),
    )
