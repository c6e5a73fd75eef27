"""Making a plan: lanes claim and scan chunks until none is left, then one pass makes the digest."""

from collections.abc import Callable
from dataclasses import replace

from cleanup.db.chunks import next_place, unfinished_chunks
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.findings import analyze_findings, hashes_in_digest_order
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import (
    Plan,
    PlanLeaf,
    PlanState,
    create_plan,
    find_unfinished_plan,
    finish_plan,
    get_plan,
    open_one_at_a_time,
    plan_leaves,
)
from cleanup.engine.checks.preflight import record_acknowledgements
from cleanup.engine.digest import compute_digests
from cleanup.engine.guards import leaf_oids, require_here, require_same_rules
from cleanup.engine.job import Job, basis_of, describe_tables, leaves_of, targets_of
from cleanup.engine.lanes import Stopped, run_lanes
from cleanup.engine.lineage import require_no_stopped_run
from cleanup.engine.plan_lane import APPLICATION_NAME, PlanOrder, plan_lane
from cleanup.engine.replica import require_replica
from cleanup.errors import MaxRuntimeReached, PlanUnfinished, StoppedBySignal
from cleanup.event_catalogue import Event
from cleanup.links.prefilter import Prefilter
from cleanup.links.words import Words
from cleanup.log import bound, tell


def make_plan(job: Job, base_plan_id: int | None, on_tick: Callable[[Connection, int], None]) -> Plan:
    """Make a plan, or go on with the interrupted one that this config and policy would make again.

    Raises StoppedBySignal or MaxRuntimeReached between chunks; the same command goes on.
    """
    database = Database(job.dsn, APPLICATION_NAME)
    try:
        order = database.transact(lambda connection: _open_plan(connection, job, base_plan_id))
        if job.scan_dsn:
            require_replica(job.scan_dsn, database.transact(lambda connection: get_plan(connection, order.plan_id)))
        tell(Event.PLAN_STARTED, plan=order.plan_id, leaves=len(order.targets))
        # Compiled once here, so that each lane finds it in the cache.
        Prefilter.compile(job.policy, job.formats(), job.pattern_cache)
        with bound(plan=order.plan_id):
            stopped = run_lanes(
                plan_lane,
                order,
                job.config.pace.lanes,
                lambda: database.glance(lambda connection: on_tick(connection, order.plan_id)),
                job.deadline,
                job.config.pace.niceness,
            )
        if database.transact(lambda connection: _is_incomplete(connection, order)):
            kind = MaxRuntimeReached if stopped is Stopped.AT_MAX_RUNTIME else StoppedBySignal
            raise kind(
                f"plan {order.plan_id} was interrupted {stopped.value if stopped else 'between chunks'}",
                hint="run the same command again to go on with it.",
            )
        plan = database.transact(lambda connection: _finish(connection, order.plan_id))
        tell(Event.PLAN_FINISHED, plan=plan.plan_id, digest=(plan.digest or b"").hex())
        return plan
    finally:
        database.close()


def _open_plan(connection: Connection, job: Job, base_plan_id: int | None) -> PlanOrder:
    require_ledger(connection)
    swept = _open_base(connection, job, base_plan_id) if base_plan_id is not None else frozenset[int]()
    tables = describe_tables(connection, job)
    leaves = leaves_of(connection, tables)
    basis = basis_of(connection, job, base_plan_id)
    open_one_at_a_time(connection)
    plan_id = find_unfinished_plan(connection, basis)
    if plan_id is None or not _same_leaves(plan_leaves(connection, plan_id), [leaf for _, leaf in leaves]):
        plan_id = create_plan(connection, basis, leaves)
        add_event(connection, Event.PLAN_CREATED, plan_id=plan_id)
        record_acknowledgements(connection, job, plan_id)
    plan = get_plan(connection, plan_id)
    planned = plan_leaves(connection, plan_id)
    targets = targets_of(tables, planned, plan.cutover)
    fingerprints = {leaf.leaf_number: leaf.fingerprint for leaf in planned}
    return PlanOrder(job, plan_id, Words(plan.words), plan.since_xmin, plan.first_lsn, swept, targets, fingerprints)


def _open_base(connection: Connection, job: Job, base_plan_id: int) -> frozenset[int]:
    # A delta plan stands on what its base has read: here, all of it, and under the same rules.
    base = get_plan(connection, base_plan_id)
    if base.state is not PlanState.FINISHED:
        raise PlanUnfinished(f"plan {base_plan_id} is not finished", hint="finish it first, or make a whole plan.")
    require_here(connection, base)
    require_same_rules(base, job)
    require_no_stopped_run(connection, base)
    return leaf_oids(plan_leaves(connection, base_plan_id))


def _same_leaves(planned: list[PlanLeaf], present: list[PlanLeaf]) -> bool:
    # The row estimates may have moved since; nothing else may.
    return [replace(leaf, row_estimate=0) for leaf in planned] == [replace(leaf, row_estimate=0) for leaf in present]


def _is_incomplete(connection: Connection, order: PlanOrder) -> bool:
    return (
        next_place(connection, order.plan_id, order.targets) is not None
        or unfinished_chunks(connection, order.plan_id) > 0
    )


def _finish(connection: Connection, plan_id: int) -> Plan:
    plan = get_plan(connection, plan_id)
    if plan.state is PlanState.SCANNING:
        analyze_findings(connection, plan_id)
        leaves = plan_leaves(connection, plan_id)
        digests = compute_digests(plan, leaves, (one for one, _ in hashes_in_digest_order(connection, plan_id)))
        finish_plan(connection, plan_id, digests.findings, digests.plan)
        add_event(connection, Event.PLAN_FINISHED, plan_id=plan_id, digest=digests.plan.hex())
        plan = get_plan(connection, plan_id)
    return plan
