"""Applying an approved plan: the guards, the run and its lanes, the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from cleanup import VERSION
from cleanup.db.chunks import actionable_findings
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.findings import Finding, deferred_findings, page_of_findings
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import get_plan
from cleanup.db.run_chunks import RunChunk, create_for_apply
from cleanup.db.runs import Run, RunState, RunTerms, apply_run_of, create_apply_run, get_run, lock_plan, resume_run
from cleanup.db.targets import Target
from cleanup.engine.apply_judge import ApplyJudge
from cleanup.engine.canary import CanaryItems, CanaryJob, settled_findings, stand_still
from cleanup.engine.checks.preflight import record_risks, require_preflight
from cleanup.engine.drift import DriftSample, DriftWatch, require_little_drift
from cleanup.engine.guards import (
    require_approval,
    require_cutover,
    require_finished,
    require_here,
    require_same_rules,
    require_same_tables,
    require_signed_findings,
)
from cleanup.engine.job import Job, describe_tables, resolver_within
from cleanup.engine.lanes import Stop, WaitingLanes
from cleanup.engine.matching import Matcher
from cleanup.engine.run_end import close
from cleanup.engine.run_job import RunJob
from cleanup.engine.run_lane import Items, RunLane, RunPlace
from cleanup.engine.run_marks import tell_mark
from cleanup.errors import CanaryReached, DriftTooHigh, PlanAlreadyApplied
from cleanup.event_catalogue import Event
from cleanup.links.words import Words
from cleanup.log import tell

APPLICATION_NAME: Final = "cleanup apply"


@dataclass(frozen=True, slots=True)
class _Order:
    job: Job
    place: RunPlace
    # Where the run stops for a look; None where it does not.
    settled_at_most: int | None = None


class _Findings:
    """The items of an apply run: the plan's actionable findings, then what earlier passes deferred."""

    def __init__(self, place: RunPlace, job: Job) -> None:
        self._place = place
        self._job = job
        self._matcher = Matcher(job.policy, None)

    def page(self, connection: Connection, chunk: RunChunk, after_number: int, items: int) -> list[Finding]:
        plan_id, run_id = self._place.plan_id, self._place.run_id
        if chunk.run_pass == 0:
            return page_of_findings(connection, plan_id, after_number, chunk.through_number, items)
        return deferred_findings(connection, plan_id, run_id, chunk.run_pass, after_number, chunk.through_number, items)

    def judge_for(self, connection: Connection, target: Target, items: Sequence[Finding]) -> ApplyJudge:
        del items
        return ApplyJudge(self._matcher.resolving(resolver_within(self._job, connection)), target, self._place.words)


def apply_plan(
    job: Job,
    plan_id: int,
    on_tick: Callable[[Connection, int], None],
    *,
    canary: int | None = None,
    newest_first: bool = False,
) -> Run:
    """Apply an approved plan from the cutover on, or go on with its run; return the run as it ended.

    With `canary` one lane settles about so many findings more, and CanaryReached is raised where any are left.
    With `newest_first` lanes take the plan's last chunks first.

    Raises the refusals of design: unfinished, unapproved, foreign, stale, already applied, before the
    cutover, drifted; and StoppedBySignal between batches, after which the same command goes on.
    """
    database = Database(job.dsn, APPLICATION_NAME)
    lanes = 1 if canary else job.config.pace.lanes
    try:
        with WaitingLanes() as waiting:
            load = partial(waiting.load, _apply_lane, lanes)
            place = database.transact(lambda connection: _open_run(connection, job, plan_id, load))
            tell(Event.RUN_STARTED, run=place.run_id, plan=plan_id, lanes=lanes)
            until = None if canary is None else canary + settled_findings(database, place.run_id)
            order = _Order(job, replace(place, newest_first=newest_first), until)
            kind = RunJob[_Order] if canary is None else CanaryJob[_Order]
            return _work(kind(job, database, place, APPLICATION_NAME, on_tick, waiting), database, order)
    finally:
        database.close()


def _work(run_job: RunJob[_Order], database: Database, order: _Order) -> Run:
    run_id = order.place.run_id
    try:
        return run_job.work(_apply_lane, order)
    except CanaryReached:
        raise stand_still(database, run_id) from None
    except DriftTooHigh:
        database.transact(lambda connection: close(connection, run_id, RunState.DRIFT_STOPPED))
        raise


def _apply_lane(order: _Order, lane: int, stop: Stop) -> None:
    place = order.place
    name = f"{APPLICATION_NAME} run {place.run_id} lane {lane}"
    database = Database(order.job.dsn, name, patient=True, pause=stop.pause)
    try:
        watch = DriftWatch(database, place.run_id, order.job.config.approval.max_drift)
        items: Items[Finding] = _Findings(place, order.job)
        if order.settled_at_most is not None:
            items = CanaryItems(items, place.run_id, order.settled_at_most)
        RunLane(database, place, items, lane, stop, watch.before_batch).work()
    finally:
        database.close()


def _open_run(connection: Connection, job: Job, plan_id: int, load_lanes: Callable[[], None]) -> RunPlace:
    require_ledger(connection)
    plan = get_plan(connection, plan_id)
    require_finished(plan)
    require_here(connection, plan)
    run_id = apply_run_of(connection, plan_id)
    if run_id is not None:
        _require_open(get_run(connection, run_id))
    require_same_rules(plan, job)
    targets, fingerprints = require_same_tables(connection, plan, describe_tables(connection, job))
    now = require_cutover(connection, plan)
    if run_id is None:
        # Another job may be about to create it, and to use the approval up.
        lock_plan(connection, plan_id)
        run_id = apply_run_of(connection, plan_id)
    if run_id is None:
        approval = require_approval(connection, plan, now, four_eyes=job.config.approval.four_eyes)
        # What is left to prove takes its time, and most of it the server's: lanes load meanwhile.
        load_lanes()
        checks = require_preflight(connection, job, plan_id)
        require_signed_findings(connection, plan)
        drift = require_little_drift(connection, plan_id, targets, job.config.approval)
        terms = RunTerms(actionable_findings(connection, plan_id), job.config.retention.days, VERSION)
        run_id = _create(connection, plan_id, approval.approval_id, terms)
        record_risks(connection, checks, plan_id, run_id)
        _report_drift(connection, plan_id, run_id, drift)
    if not resume_run(connection, run_id):
        # Another job has ended it since we looked.
        _require_open(get_run(connection, run_id))
    return RunPlace(run_id, plan_id, Words(plan.words), None, targets, fingerprints, job.config.pace)


def _report_drift(connection: Connection, plan_id: int, run_id: int, drift: DriftSample) -> None:
    moved, sampled = drift.moved, drift.sampled
    add_event(connection, Event.RUN_DRIFT_SAMPLED, plan_id=plan_id, run_id=run_id, moved=moved, sampled=sampled)
    tell(Event.RUN_DRIFT_SAMPLED, plan=plan_id, run=run_id, moved=moved, sampled=sampled)


def _create(connection: Connection, plan_id: int, approval_id: int, terms: RunTerms) -> int:
    run_id = create_apply_run(connection, plan_id, approval_id, terms)
    if run_id is None:
        # Another job was a moment quicker; this one joins its run.
        existing = apply_run_of(connection, plan_id)
        assert existing is not None
        return existing
    create_for_apply(connection, run_id, plan_id)
    add_event(connection, Event.RUN_CREATED, plan_id=plan_id, run_id=run_id, approval=approval_id)
    tell_mark(connection, run_id)
    return run_id


def _require_open(run: Run) -> None:
    if run.state in (RunState.DRIFT_STOPPED, RunState.CANCELLED):
        # A delta plan reads what was written since: it would miss the rest of this plan.
        why = "cancelled" if run.state is RunState.CANCELLED else "stopped, since too many posts had been edited"
        raise PlanAlreadyApplied(
            f"run {run.run_id} of plan {run.plan_id} was {why}",
            hint="make a whole new plan for the rest (not with --since) and have it approved.",
        )
    if not run.state.is_open:
        raise PlanAlreadyApplied(
            f"plan {run.plan_id} was applied by run {run.run_id}, which is {run.state.value}",
            hint="what was signed runs once: make a new plan (plan --since does it quickly) and have it approved.",
        )
