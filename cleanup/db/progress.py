"""How far runs and plans have come, how fast, and what their lanes do: read from the ledger alone, by any host."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import args_row

from cleanup.db.connection import Connection
from cleanup.db.plans import PlanState
from cleanup.db.queries import run_statement, statement
from cleanup.db.runs import RunKind, RunState
from cleanup.errors import PlanUnknown, RunUnknown


@dataclass(frozen=True, slots=True)
class RunWork:
    """A run's batches in sums; `recent_visited` findings were visited in the last `recent_seconds`, if any were."""

    run_id: int
    kind: RunKind
    plan_id: int
    state: RunState
    planned: int
    created_at: datetime
    finished_at: datetime | None
    cutover: datetime
    now: datetime
    batches: int
    visited: int
    edited: int
    log_rows: int
    lock_seconds: float
    last_written_at: datetime | None
    recent_visited: int
    recent_seconds: float | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", RunKind(self.kind))
        object.__setattr__(self, "state", RunState(self.state))


@dataclass(frozen=True, slots=True)
class PlanWork:
    """A plan's finished chunks in sums; `row_estimate` is the catalog's, and may be far off."""

    plan_id: int
    state: PlanState
    started_at: datetime
    finished_at: datetime | None
    cutover: datetime
    now: datetime
    row_estimate: int
    chunks: int
    rows_read: int
    findings: int
    actionable: int
    last_finished_at: datetime | None
    recent_rows: int
    recent_seconds: float | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", PlanState(self.state))


@dataclass(frozen=True, slots=True)
class LaneWork:
    """One lane: the chunk that it holds, if any, and what its session does, as far as the role may know.

    `seconds` is how long the session has been in its `state`; `query_name` is its last statement.
    """

    lane: int | None
    client: str | None
    pid: int | None
    chunk_number: int | None
    table: str | None
    run_pass: int | None
    state: str | None
    waits_for: str | None
    query_name: str | None
    seconds: float | None


def run_work(connection: Connection, run_id: int) -> RunWork:
    """What a run has done so far; raise RunUnknown where there is none."""
    with connection.cursor(row_factory=args_row(RunWork)) as cursor:
        work = cursor.execute(run_statement("progress.run", run_id), {"run_id": run_id}).fetchone()
    if work is None:
        raise RunUnknown(f"there is no run {run_id}", hint="`cleanup status` lists them.")
    return work


def plan_work(connection: Connection, plan_id: int) -> PlanWork:
    """What a plan has read so far; raise PlanUnknown where there is none."""
    with connection.cursor(row_factory=args_row(PlanWork)) as cursor:
        work = cursor.execute(statement("progress.plan"), {"plan_id": plan_id}).fetchone()
    if work is None:
        raise PlanUnknown(f"there is no plan {plan_id}", hint="`cleanup status` lists them.")
    return work


def run_lanes(connection: Connection, run_id: int) -> tuple[LaneWork, ...]:
    """The lanes of a run, on whatever host."""
    with connection.cursor(row_factory=args_row(LaneWork)) as cursor:
        return tuple(cursor.execute(run_statement("progress.lanes", run_id), {"run_id": run_id}))


def plan_lanes(connection: Connection, plan_id: int) -> tuple[LaneWork, ...]:
    """The lanes of a plan, on whatever host."""
    with connection.cursor(row_factory=args_row(LaneWork)) as cursor:
        return tuple(cursor.execute(statement("progress.plan_lanes"), {"plan_id": plan_id}))


def lock_times(connection: Connection, run_id: int, bounds_seconds: Sequence[float]) -> tuple[int, ...]:
    """How many batches held their locks for less than each bound and not less than the one before; last, the rest."""
    rows = connection.execute(
        run_statement("progress.lock_times", run_id), {"run_id": run_id, "bounds": list(bounds_seconds)}
    ).fetchall()
    found = {int(place): int(batches) for place, batches in rows}
    return tuple(found.get(place, 0) for place in range(len(bounds_seconds) + 1))


def retries(connection: Connection, run_id: int) -> tuple[tuple[str, int], ...]:
    """How often batches of a run were tried again, by cause."""
    rows = connection.execute(run_statement("progress.retries", run_id), {"run_id": run_id}).fetchall()
    return tuple((str(cause), int(times)) for cause, times in rows)


def newest_open_run(connection: Connection) -> int | None:
    """The newest run that is not closed, if there is one."""
    row = connection.execute(statement("progress.newest_run")).fetchone()
    return None if row is None else int(row[0])


def newest_open_plan(connection: Connection) -> int | None:
    """The newest plan that is being made, if there is one."""
    row = connection.execute(statement("progress.newest_plan")).fetchone()
    return None if row is None else int(row[0])
