"""Runs: created once for what was signed, resumed by the same command, closed with a head over their log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from psycopg.rows import args_row
from psycopg.types.json import Jsonb

from cleanup.db.connection import Connection
from cleanup.db.queries import run_statement, statement
from cleanup.db.wal_marks import mark_start
from cleanup.errors import RunUnknown


class RunKind(Enum):
    """What a run does to the posts."""

    APPLY = "apply"
    ROLLBACK = "rollback"


class RunState(Enum):
    """How a run stands."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    DRIFT_STOPPED = "drift_stopped"
    CANCELLED = "cancelled"
    FINISHED = "finished"

    @property
    def is_open(self) -> bool:
        """Whether the same command goes on with the run."""
        return any(before is self for before, _ in RUN_TRANSITIONS)


RUN_TRANSITIONS: Final[Mapping[tuple[RunState, RunState], str]] = {
    (RunState.RUNNING, RunState.INTERRUPTED): "its job stops between batches; the checkpoint is kept",
    (RunState.INTERRUPTED, RunState.RUNNING): "the same command was given again",
    (RunState.RUNNING, RunState.FINISHED): "every finding has its outcome",
    (RunState.INTERRUPTED, RunState.FINISHED): "one job stopped as another gave the last finding its outcome",
    (RunState.RUNNING, RunState.DRIFT_STOPPED): "more of the posts were edited since the plan than the config allows",
    (RunState.INTERRUPTED, RunState.DRIFT_STOPPED): "one job stopped as another found that too many were edited",
    (RunState.RUNNING, RunState.CANCELLED): "somebody decided against the rest",
    (RunState.INTERRUPTED, RunState.CANCELLED): "somebody decided against the rest of a run that stood still",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run as the ledger has it."""

    run_id: int
    kind: RunKind
    plan_id: int
    source_run_id: int | None
    selection: Mapping[str, object] | None
    approval_id: int | None
    state: RunState
    planned: int
    retention_days: int
    code_version: str
    started_by: str
    created_at: datetime
    finished_at: datetime | None
    log_head: bytes | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", RunKind(self.kind))
        object.__setattr__(self, "state", RunState(self.state))

    @property
    def retain_until(self) -> datetime | None:
        """Until when the log is kept; None while the run is open."""
        return self.finished_at + timedelta(days=self.retention_days) if self.finished_at else None


@dataclass(frozen=True, slots=True)
class RunTerms:
    """What a run is created with: how much it is to settle, how long its log is to be kept, and by which code."""

    planned: int
    retention_days: int
    code_version: str

    def parameters(self) -> dict[str, object]:
        """The parameters that both kinds of run share."""
        return {"planned": self.planned, "retention_days": self.retention_days, "code_version": self.code_version}


def create_apply_run(connection: Connection, plan_id: int, approval_id: int, terms: RunTerms) -> int | None:
    """Create the plan's run and its log in the open transaction; None where it exists already."""
    row = connection.execute(
        statement("runs.create_apply"), {"plan_id": plan_id, "approval_id": approval_id, **terms.parameters()}
    ).fetchone()
    return _with_log(connection, row)


def create_rollback_run(
    connection: Connection,
    source_run_id: int,
    selection: Mapping[str, object],
    approval_id: int | None,
    terms: RunTerms,
) -> int | None:
    """Create a rollback of a run and its log in the open transaction; None where one is open already."""
    row = connection.execute(
        statement("runs.create_rollback"),
        {
            "source_run_id": source_run_id,
            "selection": Jsonb(selection),
            "approval_id": approval_id,
            **terms.parameters(),
        },
    ).fetchone()
    return _with_log(connection, row)


def _with_log(connection: Connection, row: tuple[object, ...] | None) -> int | None:
    if row is None:
        return None
    run_id = int(str(row[0]))
    connection.execute(run_statement("runs.add_log", run_id), {"run_id": run_id})
    mark_start(connection, run_id)
    return run_id


def lock_plan(connection: Connection, plan_id: int) -> None:
    """Keep every other job from creating the plan's run until the open transaction ends."""
    connection.execute(statement("runs.lock_plan"), {"plan_id": plan_id})


def apply_run_of(connection: Connection, plan_id: int) -> int | None:
    """The number of a plan's run, if it has one."""
    row = connection.execute(statement("runs.apply_of"), {"plan_id": plan_id}).fetchone()
    return int(row[0]) if row else None


def open_rollback_of(connection: Connection, source_run_id: int) -> int | None:
    """The number of a run's open rollback, if it has one."""
    row = connection.execute(statement("runs.open_rollback_of"), {"source_run_id": source_run_id}).fetchone()
    return int(row[0]) if row else None


def runs_of(connection: Connection, plan_id: int) -> frozenset[int]:
    """The numbers of every run of a plan: its apply, the rollbacks of that, and theirs."""
    return frozenset(int(row[0]) for row in connection.execute(statement("runs.of_plan"), {"plan_id": plan_id}))


def get_run(connection: Connection, run_id: int) -> Run:
    """One run; raise RunUnknown where there is none."""
    with connection.cursor(row_factory=args_row(Run)) as cursor:
        run = cursor.execute(run_statement("runs.get", run_id), {"run_id": run_id}).fetchone()
    if run is None:
        raise RunUnknown(f"there is no run {run_id}", hint="`cleanup status` lists the plans and runs.")
    return run


def all_runs(connection: Connection) -> list[Run]:
    """Every run, newest first."""
    with connection.cursor(row_factory=args_row(Run)) as cursor:
        return cursor.execute(statement("runs.all")).fetchall()


def resume_run(connection: Connection, run_id: int) -> bool:
    """Mark an open run as running; False where it has ended."""
    state = _resumed(connection, run_id)
    if state is RunState.INTERRUPTED:
        # Another job was just about to leave it.
        state = _resumed(connection, run_id)
    return state is RunState.RUNNING


def _resumed(connection: Connection, run_id: int) -> RunState:
    connection.execute(run_statement("runs.resume", run_id), {"run_id": run_id})
    row = connection.execute(run_statement("runs.settled_state", run_id), {"run_id": run_id}).fetchone()
    assert row is not None
    return RunState(row[0])


def interrupt_run(connection: Connection, run_id: int) -> bool:
    """Mark a running run as interrupted; False where another job goes on with it, or where it has ended."""
    return connection.execute(run_statement("runs.interrupt", run_id), {"run_id": run_id}).rowcount == 1


def close_run(connection: Connection, run_id: int, state: RunState) -> bytes | None:
    """Give an open run its end, with its event and the head over its batches; None where another job already did.

    Waits for the batches that are open, and keeps further ones from opening until the open transaction ends.
    """
    row = connection.execute(run_statement("runs.close", run_id), {"run_id": run_id, "state": state.value}).fetchone()
    assert row is not None
    head: bytes | None = row[0]
    return head
