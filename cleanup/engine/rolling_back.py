"""Rolling a run back: itself a run, chunked, logged and resumable, so that it can be rolled back in turn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from cleanup import VERSION
from cleanup.db.batches import run_totals
from cleanup.db.catalog import fingerprint
from cleanup.db.change_log import LogRow, deferred_log, later_log, page_of_log
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import Plan, get_plan, plan_columns, plan_leaves
from cleanup.db.run_chunks import RunChunk, create_for_rollback
from cleanup.db.runs import Run, RunTerms, create_rollback_run, get_run, lock_plan, open_rollback_of, resume_run
from cleanup.db.tables import Fingerprint, Table
from cleanup.db.targets import Target
from cleanup.engine.guards import require_here
from cleanup.engine.job import Job, describe_tables, targets_of
from cleanup.engine.lanes import Stop, run_lanes
from cleanup.engine.rollback_judge import RollbackJudge
from cleanup.engine.run_end import end_run
from cleanup.engine.run_lane import RunLane, RunPlace
from cleanup.errors import PlanStale, RunUnfinished
from cleanup.log import get_logger

APPLICATION_NAME: Final = "cleanup rollback"


@dataclass(frozen=True, slots=True)
class _Order:
    dsn: str
    place: RunPlace
    source_run_id: int


class _LogRows:
    """The items of a rollback: the source run's log, then what earlier passes deferred."""

    def __init__(self, place: RunPlace, source_run_id: int) -> None:
        self._place = place
        self._source = source_run_id

    def page(self, connection: Connection, chunk: RunChunk, after_number: int, items: int) -> list[LogRow]:
        if chunk.run_pass == 0:
            return page_of_log(connection, self._source, after_number, chunk.through_number, items)
        return deferred_log(
            connection, self._place.run_id, self._source, chunk.run_pass, after_number, chunk.through_number, items
        )

    def judge_for(self, connection: Connection, target: Target, items: Sequence[LogRow]) -> RollbackJudge:
        del target
        later = later_log(connection, self._source, [item.value_id for item in items])
        return RollbackJudge({value: list(rows) for value, rows in groupby(later, key=lambda row: row.value_id)})


def roll_back(job: Job, source_run_id: int, on_tick: Callable[[Connection, int], None]) -> Run:
    """Undo a closed run, or go on with its open rollback; return the rollback as it ended.

    Values that an author has edited since are conflicts: listed, and left as they are. Raises
    RunUnfinished for a run that is still open, and StoppedBySignal between batches.
    """
    database = Database(job.dsn, APPLICATION_NAME)
    try:
        place = database.transact(lambda connection: _open_rollback(connection, job, source_run_id))
        get_logger().info("run.started", run=place.run_id, source=source_run_id, lanes=job.config.pace.lanes)
        stopped = run_lanes(
            _rollback_lane,
            _Order(job.dsn, place, source_run_id),
            job.config.pace.lanes,
            lambda: database.transact(lambda connection: on_tick(connection, place.run_id), read_only=True),
        )
        return end_run(database, place.run_id, stopped=stopped)
    finally:
        database.close()


def _rollback_lane(order: _Order, lane: int, stop: Stop) -> None:
    database = Database(order.dsn, f"{APPLICATION_NAME} run {order.place.run_id} lane {lane}", patient=True)
    try:
        RunLane(database, order.place, _LogRows(order.place, order.source_run_id), lane, stop, _no_watch).work()
    finally:
        database.close()


def _no_watch(findings: int) -> None:
    """A rollback that meets edited texts lists them; it is not to be stopped for that."""
    del findings


def _open_rollback(connection: Connection, job: Job, source_run_id: int) -> RunPlace:
    require_ledger(connection)
    source = get_run(connection, source_run_id)
    plan = get_plan(connection, source.plan_id)
    require_here(connection, plan)
    if source.state.is_open:
        raise RunUnfinished(
            f"run {source_run_id} is {source.state.value}",
            hint="let it finish first (the same command goes on with it), or cancel it.",
        )
    targets, fingerprints = _present_tables(connection, plan, describe_tables(connection, job))
    # Another job may be about to create one, or to close it.
    lock_plan(connection, source.plan_id)
    run_id = open_rollback_of(connection, source_run_id) or _create(connection, job, source_run_id)
    resume_run(connection, run_id)
    return RunPlace(run_id, source.plan_id, targets, fingerprints, job.config.pace)


def _create(connection: Connection, job: Job, source_run_id: int) -> int:
    terms = RunTerms(run_totals(connection, source_run_id).log_rows, job.config.retention.days, VERSION)
    run_id = create_rollback_run(connection, source_run_id, {}, None, terms)
    assert run_id is not None
    create_for_rollback(connection, run_id, source_run_id)
    add_event(connection, "run.created", run_id=run_id, source_run=source_run_id)
    return run_id


def _present_tables(
    connection: Connection, plan: Plan, tables: list[Table]
) -> tuple[dict[int, Target], dict[int, Fingerprint]]:
    # Weeks may have passed: the schema may differ from the plan's, but must not change under the rollback.
    leaves = plan_leaves(connection, plan.plan_id)
    targets = targets_of(tables, leaves, plan.cutover)
    fingerprints: dict[int, Fingerprint] = {}
    for leaf in leaves:
        target = targets.get(leaf.leaf_number)
        content = fingerprint(connection, target.leaf, target.table.key_names()) if target else None
        if content is None:
            raise PlanStale(
                f"{leaf.leaf_name}, which plan {plan.plan_id} scanned, is not there or not configured any more",
                hint="put it back, or give the config that the plan was made with.",
            )
        fingerprints[leaf.leaf_number] = content
    _require_columns(connection, plan, targets)
    return targets, fingerprints


def _require_columns(connection: Connection, plan: Plan, targets: dict[int, Target]) -> None:
    present = {
        (target.table.name, column.number): column.name
        for target in targets.values()
        for column in target.table.columns
    }
    for column in plan_columns(connection, plan.plan_id):
        found = present.get((column.table_name, column.column_number))
        if found != column.column_name:
            raise PlanStale(
                f"column {column.column_number + 1} of {column.table_name} was {column.column_name!r} in plan "
                f"{plan.plan_id} and is {found!r} in the config",
                hint="give the config that the plan was made with.",
            )
