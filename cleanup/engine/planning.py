"""Making a plan: lanes claim and scan chunks until none is left, then one pass makes the digest."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from cleanup.db.chunks import Chunk, claim_chunk, finish_chunk, next_place, renew_chunk, unfinished_chunks
from cleanup.db.connection import SCAN_LIMITS, Connection, transaction
from cleanup.db.copy_rows import Piece, copy_pieces
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.findings import Finding, copy_findings, first_number, hashes_in_digest_order
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
from cleanup.db.targets import Target
from cleanup.engine.checks.preflight import record_acknowledgements
from cleanup.engine.digest import compute_digests
from cleanup.engine.guards import leaf_oids, require_here, require_same_rules
from cleanup.engine.job import Job, basis_of, describe_tables, leaves_of, resolver, targets_of
from cleanup.engine.lanes import IDLE_SECONDS, RENEW_AFTER, Stop, Stopped, run_lanes
from cleanup.engine.matching import Matcher
from cleanup.engine.scan import PIECE_BYTES, Scanner
from cleanup.engine.scan_counts import ScanCounts
from cleanup.errors import MaxRuntimeReached, PlanUnfinished, StoppedBySignal
from cleanup.event_catalogue import Event
from cleanup.links.prefilter import Prefilter
from cleanup.log import bound, tell

APPLICATION_NAME: Final = "cleanup plan"


@dataclass(frozen=True, slots=True)
class _Order:
    job: Job
    plan_id: int
    since_xmin: str | None
    # Leaves that the base plan read; in any other, a delta plan reads every row, however old.
    swept_leaves: frozenset[int]
    targets: dict[int, Target]


def make_plan(job: Job, base_plan_id: int | None, on_tick: Callable[[Connection, int], None]) -> Plan:
    """Make a plan, or go on with the interrupted one that this config and policy would make again.

    Raises StoppedBySignal or MaxRuntimeReached between chunks; the same command goes on.
    """
    database = Database(job.dsn, APPLICATION_NAME)
    try:
        order = database.transact(lambda connection: _open_plan(connection, job, base_plan_id))
        tell(Event.PLAN_STARTED, plan=order.plan_id, leaves=len(order.targets))
        # Compiled once here, so that each lane finds it in the cache.
        Prefilter.compile(job.policy, job.formats(), job.pattern_cache)
        with bound(plan=order.plan_id):
            stopped = run_lanes(
                _plan_lane,
                order,
                job.config.pace.lanes,
                lambda: database.glance(lambda connection: on_tick(connection, order.plan_id)),
                job.deadline,
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


def _open_plan(connection: Connection, job: Job, base_plan_id: int | None) -> _Order:
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
    targets = targets_of(tables, plan_leaves(connection, plan_id), plan.cutover)
    return _Order(job, plan_id, plan.since_xmin, swept, targets)


def _open_base(connection: Connection, job: Job, base_plan_id: int) -> frozenset[int]:
    # A delta plan stands on what its base has read: here, all of it, and under the same rules.
    base = get_plan(connection, base_plan_id)
    if base.state is not PlanState.FINISHED:
        raise PlanUnfinished(f"plan {base_plan_id} is not finished", hint="finish it first, or make a whole plan.")
    require_here(connection, base)
    require_same_rules(base, job)
    return leaf_oids(plan_leaves(connection, base_plan_id))


def _same_leaves(planned: list[PlanLeaf], present: list[PlanLeaf]) -> bool:
    # The row estimates may have moved since; nothing else may.
    return [replace(leaf, row_estimate=0) for leaf in planned] == [replace(leaf, row_estimate=0) for leaf in present]


def _plan_lane(order: _Order, lane: int, stop: Stop) -> None:
    with bound(plan=order.plan_id):
        _scan_lane(order, lane, stop)


def _scan_lane(order: _Order, lane: int, stop: Stop) -> None:
    pace = order.job.config.pace
    name = f"{APPLICATION_NAME} {order.plan_id} lane {lane}"
    ledger = Database(order.job.dsn, name, patient=True, pause=stop.pause)
    posts = Database(order.job.dsn, f"{name} scan", patient=True, pause=stop.pause)
    matcher = Matcher(order.job.policy, resolver(order.job, ledger))
    prefilter = Prefilter.compile(order.job.policy, order.job.formats(), order.job.pattern_cache)
    try:
        while not stop.asked():
            chunk = ledger.transact(
                lambda connection: claim_chunk(
                    connection, order.plan_id, order.targets, pace.chunk_rows, pace.lease_seconds
                )
            )
            if chunk is not None:
                target = order.targets[chunk.leaf_number]
                with bound(table=target.leaf.full_name, chunk=chunk.chunk_number):
                    _scan_chunk(order, chunk, ledger, posts, Scanner(matcher, prefilter, target))
            elif ledger.transact(lambda connection: unfinished_chunks(connection, order.plan_id)) == 0:
                return
            else:
                stop.pause(IDLE_SECONDS)
    finally:
        ledger.close()
        posts.close()


def _scan_chunk(order: _Order, chunk: Chunk, ledger: Database, posts: Database, scanner: Scanner) -> None:
    target = order.targets[chunk.leaf_number]
    lease_seconds = order.job.config.pace.lease_seconds
    renewed = time.monotonic()

    def renew() -> None:
        # Seldom: it takes a second connection beside the scan's, which a small pool may not have to spare.
        nonlocal renewed
        if time.monotonic() - renewed > lease_seconds * RENEW_AFTER:
            ledger.transact(lambda connection: renew_chunk(connection, order.plan_id, chunk, lease_seconds))
            renewed = time.monotonic()

    def scan(connection: Connection) -> tuple[list[Finding], ScanCounts]:
        with transaction(connection, SCAN_LIMITS, read_only=True):
            since = order.since_xmin if target.leaf.oid in order.swept_leaves else None
            pieces = copy_pieces(connection, target.scan(chunk.key_range, since), PIECE_BYTES)
            return _number(scanner, pieces, chunk, renew)

    findings, counts = posts.retry(scan)

    def finish(connection: Connection) -> bool:
        actionable = sum(finding.actionable for finding in findings)
        ours = finish_chunk(connection, order.plan_id, chunk, len(findings), actionable, counts.as_json())
        if ours:
            copy_findings(connection, order.plan_id, findings)
        return ours

    if ledger.transact(finish):
        tell(Event.CHUNK_FINISHED, rows=counts.rows, findings=len(findings))


def _number(
    scanner: Scanner, pieces: Iterable[Piece], chunk: Chunk, renew: Callable[[], None]
) -> tuple[list[Finding], ScanCounts]:
    counts = ScanCounts()
    findings: list[Finding] = []
    for found in scanner.findings(pieces, counts, first_number(chunk.chunk_number) + 1):
        findings += found
        renew()
    return findings, counts


def _is_incomplete(connection: Connection, order: _Order) -> bool:
    return (
        next_place(connection, order.plan_id, order.targets) is not None
        or unfinished_chunks(connection, order.plan_id) > 0
    )


def _finish(connection: Connection, plan_id: int) -> Plan:
    plan = get_plan(connection, plan_id)
    if plan.state is PlanState.SCANNING:
        leaves = plan_leaves(connection, plan_id)
        digests = compute_digests(plan, leaves, hashes_in_digest_order(connection, plan_id))
        finish_plan(connection, plan_id, digests.findings, digests.plan)
        add_event(connection, Event.PLAN_FINISHED, plan_id=plan_id, digest=digests.plan.hex())
        plan = get_plan(connection, plan_id)
    return plan
