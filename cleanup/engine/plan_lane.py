"""One lane of a plan: it claims chunks, scans each outside of any ledger transaction, and records its findings."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cleanup.db.catalog import key_collation_versions
from cleanup.db.chunks import Chunk, claim_chunk, finish_chunk, renew_chunk, unfinished_chunks
from cleanup.db.connection import SCAN_LIMITS, Connection, transaction
from cleanup.db.copy_rows import Piece, copy_pieces
from cleanup.db.database import Database
from cleanup.db.findings import Finding, copy_findings, first_number
from cleanup.db.tables import Fingerprint
from cleanup.db.targets import Target
from cleanup.engine.job import Job, resolver
from cleanup.engine.lanes import IDLE_SECONDS, RENEW_AFTER, Stop
from cleanup.engine.matching import Matcher
from cleanup.engine.replica import is_ready
from cleanup.engine.scan import PIECE_BYTES, Scanner
from cleanup.engine.scan_counts import ScanCounts
from cleanup.errors import PlanStale
from cleanup.event_catalogue import Event
from cleanup.links.prefilter import Prefilter
from cleanup.links.words import Words
from cleanup.log import bound, tell

APPLICATION_NAME: Final = "cleanup plan"
_LOOK_AT_REPLICA_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class PlanOrder:
    """What every lane of a plan has to know; the leaves are as they were when the plan began."""

    job: Job
    plan_id: int
    words: Words
    since_xmin: str | None
    # What a standby has to have replayed before it is scanned.
    first_lsn: str
    # Leaves that the base plan read; in any other, a delta plan reads every row, however old.
    swept_leaves: frozenset[int]
    targets: dict[int, Target]
    fingerprints: dict[int, Fingerprint]


def plan_lane(order: PlanOrder, lane: int, stop: Stop) -> None:
    """Work until no chunk is left or somebody asks to stop."""
    name = f"{APPLICATION_NAME} {order.plan_id} lane {lane}"
    ledger = Database(order.job.dsn, name, patient=True, pause=stop.pause)
    posts = Database(order.job.scan_dsn or order.job.dsn, f"{name} scan", patient=True, pause=stop.pause)
    matcher = Matcher(order.job.policy, resolver(order.job, ledger))
    prefilter = Prefilter.compile(order.job.policy, order.job.formats(), order.job.pattern_cache)
    try:
        with bound(plan=order.plan_id):
            while not stop.asked():
                chunk = ledger.transact(lambda connection: _claim(connection, order))
                if chunk is not None:
                    target = order.targets[chunk.leaf_number]
                    scanner = Scanner(matcher, prefilter, target, order.words)
                    with bound(table=target.leaf.full_name, chunk=chunk.chunk_number):
                        _ChunkScan(order, chunk, ledger, scanner).run(posts, stop)
                elif ledger.transact(lambda connection: unfinished_chunks(connection, order.plan_id)) == 0:
                    return
                else:
                    stop.pause(IDLE_SECONDS)
    finally:
        ledger.close()
        posts.close()


def _claim(connection: Connection, order: PlanOrder) -> Chunk | None:
    """The next chunk; raise PlanStale where a collation is another one by now, and with it the order of the keys."""
    pace = order.job.config.pace
    chunk = claim_chunk(connection, order.plan_id, order.targets, pace.chunk_rows, pace.lease_seconds)
    if chunk is not None:
        target = order.targets[chunk.leaf_number]
        planned = order.fingerprints[chunk.leaf_number]["key_collation_versions"]
        present = key_collation_versions(connection, target.leaf, target.table.key_names())
        if present != planned:
            raise PlanStale(
                f"{target.leaf.full_name} was begun under collation versions {planned}, and has {present} now",
                hint="the same command makes a new plan.",
            )
    return chunk


class _ChunkScan:
    """The scan of one claimed chunk, whose lease is prolonged while it lasts."""

    def __init__(self, order: PlanOrder, chunk: Chunk, ledger: Database, scanner: Scanner) -> None:
        self._order = order
        self._chunk = chunk
        self._ledger = ledger
        self._scanner = scanner
        self._renewed = time.monotonic()

    def run(self, posts: Database, stop: Stop) -> None:
        """Scan it and record what was found, unless another lane has taken it over, or somebody asks to stop first."""
        scanned = posts.retry(self._scan)
        if scanned is None:
            tell(Event.CHUNK_AWAITS_REPLICA, lsn=self._order.first_lsn)
        while scanned is None:
            if stop.pause(_LOOK_AT_REPLICA_SECONDS):
                # The chunk's lease ends with our session.
                return
            self._renew()
            scanned = posts.retry(self._scan)
        findings, counts = scanned
        if self._ledger.transact(lambda connection: self._finish(connection, findings, counts)):
            tell(Event.CHUNK_FINISHED, rows=counts.rows, findings=len(findings))

    def _scan(self, connection: Connection) -> tuple[list[Finding], ScanCounts] | None:
        """What the chunk holds; None where a standby has not yet replayed what the plan must see."""
        order, target = self._order, self._order.targets[self._chunk.leaf_number]
        with transaction(connection, SCAN_LIMITS, read_only=True):
            if order.job.scan_dsn and not is_ready(connection, order.job.scan_dsn, order.first_lsn):
                return None
            since = order.since_xmin if target.leaf.oid in order.swept_leaves else None
            return self._number(copy_pieces(connection, target.scan(self._chunk.key_range, since), PIECE_BYTES))

    def _number(self, pieces: Iterable[Piece]) -> tuple[list[Finding], ScanCounts]:
        counts = ScanCounts()
        findings: list[Finding] = []
        for found in self._scanner.findings(pieces, counts, first_number(self._chunk.chunk_number) + 1):
            findings += found
            self._renew()
        return findings, counts

    def _finish(self, connection: Connection, findings: list[Finding], counts: ScanCounts) -> bool:
        actionable = sum(finding.actionable for finding in findings)
        plan_id, chunk = self._order.plan_id, self._chunk
        ours = finish_chunk(connection, plan_id, chunk, len(findings), actionable, counts.as_json())
        if ours:
            copy_findings(connection, plan_id, findings)
        return ours

    def _renew(self) -> None:
        # Seldom: it takes a second connection beside the scan's, which a small pool may not have to spare.
        seconds = self._order.job.config.pace.lease_seconds
        if time.monotonic() - self._renewed > seconds * RENEW_AFTER:
            self._ledger.transact(lambda connection: renew_chunk(connection, self._order.plan_id, self._chunk, seconds))
            self._renewed = time.monotonic()
