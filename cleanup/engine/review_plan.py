"""The plan that decisions make: a copy of the reviewed one with the decided findings, and a digest of its own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from cleanup.db.connection import Connection
from cleanup.db.events import add_event
from cleanup.db.findings import FINDINGS_PER_CHUNK, analyze_findings, copy_findings, hashes_in_digest_order
from cleanup.db.plans import Plan, finish_plan, get_plan, plan_leaves
from cleanup.db.reviews import add_review, derive_plan, recount_chunk, reviewed_chunk
from cleanup.engine.digest import compute_digests
from cleanup.engine.review_findings import DecidedFinding
from cleanup.engine.scan_counts import ScanCounts
from cleanup.event_catalogue import Event


@dataclass(frozen=True, slots=True)
class Review:
    """Who decided, and in which file."""

    reviewed_plan_id: int
    reviewer: str
    file_sha256: bytes


def make_reviewed_plan(connection: Connection, review: Review, findings: Sequence[DecidedFinding]) -> Plan:
    """Make the new plan in the open transaction; the reviewed one stays as it was signed, or could be."""
    plan_id = derive_plan(connection, review.reviewed_plan_id, [one.before.finding_number for one in findings])
    copy_findings(connection, plan_id, [one.after for one in findings])
    for chunk_number, group in groupby(findings, key=lambda one: one.before.finding_number // FINDINGS_PER_CHUNK):
        _recount(connection, plan_id, chunk_number, group)
    decisions = [decision for one in findings for decision in one.decisions]
    add_review(connection, plan_id, review.reviewed_plan_id, review.reviewer, review.file_sha256, decisions)
    analyze_findings(connection, plan_id)
    hashes = (one for one, _ in hashes_in_digest_order(connection, plan_id))
    digests = compute_digests(get_plan(connection, plan_id), plan_leaves(connection, plan_id), hashes)
    finish_plan(connection, plan_id, digests.findings, digests.plan)
    add_event(
        connection,
        Event.PLAN_REVIEWED,
        plan_id=plan_id,
        reviewed_plan=review.reviewed_plan_id,
        reviewer=review.reviewer,
        decisions=len(decisions),
        digest=digests.plan.hex(),
    )
    return get_plan(connection, plan_id)


def _recount(connection: Connection, plan_id: int, chunk_number: int, findings: Iterable[DecidedFinding]) -> None:
    chunk = reviewed_chunk(connection, plan_id, chunk_number)
    counts, actionable = ScanCounts.from_json(chunk.counts), chunk.actionable
    for one in findings:
        one.recount(counts)
        actionable += one.after.actionable - one.before.actionable
    counts.spans, counts.refusals = +counts.spans, +counts.refusals
    recount_chunk(connection, plan_id, chunk_number, actionable, counts.as_json())
