"""Rolling a run back: itself a run, chunked, logged and resumable, so that it can be rolled back in turn."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from cleanup import VERSION
from cleanup.db.approvals import Approved
from cleanup.db.batches import run_totals
from cleanup.db.change_log import count_selected
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.ledger import require_ledger
from cleanup.db.purges import require_log
from cleanup.db.run_chunks import create_for_rollback
from cleanup.db.runs import Run, RunTerms, create_rollback_run, get_run, lock_plan, open_rollback_of, resume_run
from cleanup.db.selection import Selection
from cleanup.db.session import server_clock
from cleanup.engine.checks.preflight import require_writable
from cleanup.engine.guards import require_other_person_to_start, require_signature
from cleanup.engine.job import Job
from cleanup.engine.lanes import Stop, WaitingLanes
from cleanup.engine.rollback_source import Source, SourceLog, open_source
from cleanup.engine.run_job import RunJob
from cleanup.engine.run_lane import RunLane, RunPlace
from cleanup.engine.run_marks import tell_mark
from cleanup.errors import RollbackDiffers
from cleanup.event_catalogue import Event
from cleanup.links.words import Words
from cleanup.log import tell

APPLICATION_NAME: Final = "cleanup rollback"


@dataclass(frozen=True, slots=True)
class _Order:
    dsn: str
    place: RunPlace
    items: SourceLog


def roll_back(job: Job, source_run_id: int, selection: Selection, on_tick: Callable[[Connection, int], None]) -> Run:
    """Undo a closed run or a part of it, or go on with its open rollback; return the rollback as it ended.

    Links whose place is not certain any more are conflicts: listed, and left as they are. Raises
    RunUnfinished for a run that is still open, RollbackDiffers where another part of it is being rolled
    back, PlanNotApproved where the config asks for an approval, and StoppedBySignal between batches.
    """
    database = Database(job.dsn, APPLICATION_NAME)
    try:
        with WaitingLanes() as waiting:
            load = partial(waiting.load, _rollback_lane, job.config.pace.lanes)
            order = database.transact(
                lambda connection: _open_rollback(connection, job, source_run_id, selection, load)
            )
            run_id = order.place.run_id
            tell(Event.RUN_STARTED, run=run_id, source=source_run_id, lanes=job.config.pace.lanes)
            run_job = RunJob[_Order](job, database, order.place, APPLICATION_NAME, on_tick, waiting)
            return run_job.work(_rollback_lane, order)
    finally:
        database.close()


def _rollback_lane(order: _Order, lane: int, stop: Stop) -> None:
    name = f"{APPLICATION_NAME} run {order.place.run_id} lane {lane}"
    database = Database(order.dsn, name, patient=True, pause=stop.pause)
    try:
        RunLane(database, order.place, order.items, lane, stop, _no_watch).work()
    finally:
        database.close()


def _no_watch(findings: int) -> None:
    """A rollback that meets edited texts lists them; it is not to be stopped for that."""
    del findings


def _open_rollback(
    connection: Connection, job: Job, source_run_id: int, selection: Selection, load_lanes: Callable[[], None]
) -> _Order:
    require_ledger(connection)
    source = open_source(connection, job, source_run_id, selection)
    # Another job may be about to create one, or to close it, or to purge what it would read.
    lock_plan(connection, source.plan.plan_id)
    require_log(connection, source_run_id)
    run_id = open_rollback_of(connection, source_run_id)
    if run_id is None:
        require_writable(connection, job)
        approval_id = _approval(connection, job, source) if job.config.approval.rollbacks else None
        # Nothing is left that may refuse it: lanes load while the run is made.
        load_lanes()
        run_id = _create(connection, job, source, approval_id)
    else:
        _require_same_part(get_run(connection, run_id), selection)
    resume_run(connection, run_id)
    plan, words = source.plan, Words(source.plan.words)
    place = RunPlace(run_id, plan.plan_id, words, source_run_id, source.targets, source.fingerprints, job.config.pace)
    return _Order(job.dsn, place, SourceLog(source_run_id, plan.plan_id, words, selection, run_id))


def _create(connection: Connection, job: Job, source: Source, approval_id: int | None) -> int:
    terms = RunTerms(_planned(connection, source), job.config.retention.days, VERSION)
    stored = source.selection.stored()
    run_id = create_rollback_run(connection, source.run.run_id, stored, approval_id, terms)
    assert run_id is not None
    create_for_rollback(connection, run_id, source.run.run_id)
    approval = {} if approval_id is None else {"approval": approval_id}
    add_event(connection, Event.RUN_CREATED, run_id=run_id, source_run=source.run.run_id, **approval)
    tell_mark(connection, run_id)
    return run_id


def _approval(connection: Connection, job: Job, source: Source) -> int:
    run_id = source.run.run_id
    approval = require_signature(
        connection,
        Approved(source.plan.plan_id, run_id, source.selection.stored()),
        source.digest,
        server_clock(connection),
        f"this rollback of run {run_id}",
        hint=f"after reading `cleanup rollback {run_id} --dry-run`: cleanup approve --rollback {run_id} "
        f"--digest {source.digest.hex()} --by NAME --ticket TICKET, with the same options that select a part.",
    )
    if job.config.approval.four_eyes:
        require_other_person_to_start(connection, approval, f"this rollback of run {run_id}")
    return approval.approval_id


def _planned(connection: Connection, source: Source) -> int:
    if source.selection.is_whole:
        return run_totals(connection, source.run.run_id).log_rows
    return count_selected(connection, source.run.run_id, source.selection)


def _require_same_part(rollback: Run, selection: Selection) -> None:
    if rollback.selection != selection.stored():
        raise RollbackDiffers(
            f"run {rollback.run_id} is rolling back another part of run {rollback.source_run_id}: "
            f"{rollback.selection or 'all of it'}",
            hint=f"give the same options to go on with it, or `cleanup cancel {rollback.run_id}` first.",
        )
