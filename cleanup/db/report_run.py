"""What a run's report says beyond its totals: conflicts, events, passes, tables."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import args_row

from cleanup.db.connection import Connection
from cleanup.db.queries import run_statement


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Why links could not be put back, and how many."""

    reason: str
    links: int


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event of a run; `detail` is the ledger's JSON."""

    at: datetime
    name: str
    by_role: str
    detail: str


@dataclass(frozen=True, slots=True)
class PassLine:
    """One pass over the chunks."""

    run_pass: int
    batches: int
    values: int
    written: int
    edited: int
    average_lock_ms: int
    longest_lock_ms: int


@dataclass(frozen=True, slots=True)
class TableWork:
    """What the plan wanted to change in a table, and how many values the run's log has of it."""

    table: str
    planned: int
    written: int


def conflict_reasons(connection: Connection, run_id: int) -> tuple[ReasonCount, ...]:
    """The conflicts of a rollback, by reason."""
    with connection.cursor(row_factory=args_row(ReasonCount)) as cursor:
        return tuple(cursor.execute(run_statement("report_run.conflicts", run_id), {"run_id": run_id}))


def run_events(connection: Connection, run_id: int, rows: int) -> tuple[EventLine, ...]:
    """The first events of a run."""
    with connection.cursor(row_factory=args_row(EventLine)) as cursor:
        return tuple(cursor.execute(run_statement("report_run.events", run_id), {"run_id": run_id, "rows": rows}))


def run_passes(connection: Connection, run_id: int) -> tuple[PassLine, ...]:
    """The passes of a run."""
    with connection.cursor(row_factory=args_row(PassLine)) as cursor:
        return tuple(cursor.execute(run_statement("report_run.passes", run_id), {"run_id": run_id}))


def run_tables(connection: Connection, run_id: int) -> tuple[TableWork, ...]:
    """Planned against written, table by table."""
    with connection.cursor(row_factory=args_row(TableWork)) as cursor:
        return tuple(cursor.execute(run_statement("report_run.tables", run_id), {"run_id": run_id}))
