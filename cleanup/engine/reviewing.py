"""A review: what waits for a person is exported, and the decisions that come back make a new plan."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cleanup.db.connection import SCAN_LIMITS, Connection
from cleanup.db.database import Database
from cleanup.db.plans import get_plan
from cleanup.db.reviews import plan_of_file
from cleanup.db.runs import apply_run_of, lock_plan
from cleanup.engine.guards import require_finished, require_signed_findings
from cleanup.engine.job import Job, resolver
from cleanup.engine.matching import Matcher
from cleanup.engine.review_decisions import DecisionFile
from cleanup.engine.review_file import Problems, Record, read_lines, write_lines
from cleanup.engine.review_findings import DecidedFinding, decide_findings
from cleanup.engine.review_plan import Review, make_reviewed_plan
from cleanup.engine.review_waiting import ReviewedPlan, Waiting, open_reviewed, waiting_findings
from cleanup.errors import DecisionsRefused, InputUnreadable, PlanAlreadyApplied
from cleanup.event_catalogue import Event
from cleanup.links.review_policy import redacting
from cleanup.log import tell

APPLICATION_NAME: Final = "cleanup review"
# How much of a text stands around its link in the file, and how much of the link.
_CONTEXT: Final = 60
_LINK: Final = 400


@dataclass(frozen=True, slots=True)
class ReviewImport:
    """What became of a decision file: the new plan, and what it leaves as it was.

    `edited` counts decided spans whose post was edited or deleted since the plan: there nothing was decided.
    `made_before` says that this very file had made the plan already.
    """

    plan_id: int
    reviewed_plan_id: int
    digest: str
    decided: dict[str, int]
    edited: int
    made_before: bool = False


@dataclass(frozen=True, slots=True)
class AwaitingClass:
    """How many spans wait for a person for the same reason."""

    platform: str
    kind: str
    host: str
    reason: str
    spans: int


def count_awaiting(job: Job, plan_id: int) -> list[AwaitingClass]:
    """What waits for a person in a plan, most first. Writes nothing."""
    database = Database(job.dsn, APPLICATION_NAME)
    counts: Counter[tuple[str, str, str, str]] = Counter()
    try:
        for page in waiting_findings(database, _open(database, job, plan_id)):
            spans = (one.span for waiting in page for one in waiting.awaiting)
            counts.update((span.platform, span.kind, span.host, span.reason) for span in spans)
    finally:
        database.close()
    return [AwaitingClass(*of, spans) for of, spans in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def export_review(job: Job, plan_id: int, file: Path) -> int:
    """Write a line for each span that waits for a person; how many there are. Changes nothing in the database."""
    database = Database(job.dsn, APPLICATION_NAME)
    try:
        return write_lines(file, _records(database, _open(database, job, plan_id)))
    finally:
        database.close()


def import_review(job: Job, plan_id: int, file: Path, reviewer: str) -> ReviewImport:
    """Make a plan with a file's decisions; raise DecisionsRefused with every problem, and then nothing was written.

    Raises PlanAlreadyApplied where the reviewed plan has a run: what is left of that needs a plan of its own.
    """
    content = _content(file)
    database = Database(job.dsn, APPLICATION_NAME)
    try:
        reviewed = _open(database, job, plan_id)
        review = Review(plan_id, reviewer, hashlib.sha256(content).digest())
        if (before := database.transact(lambda connection: _made_before(connection, review))) is not None:
            return before
        # A copy would pass a change in the ledger on, under a digest that fits it.
        database.transact(
            lambda connection: require_signed_findings(connection, reviewed.plan), SCAN_LIMITS, read_only=True
        )
        findings, edited = _decide(job, database, reviewed, file, content)
        return database.transact(lambda connection: _make(connection, review, findings, edited), SCAN_LIMITS)
    finally:
        database.close()


def _open(database: Database, job: Job, plan_id: int) -> ReviewedPlan:
    return database.transact(lambda connection: open_reviewed(connection, job, plan_id), read_only=True)


def _records(database: Database, reviewed: ReviewedPlan) -> Iterator[Record]:
    for page in waiting_findings(database, reviewed):
        for waiting in page:
            yield from _records_of(waiting, reviewed.digest)


def _records_of(waiting: Waiting, digest: str) -> Iterator[Record]:
    for one in waiting.awaiting:
        shown: dict[str, object] = {"before": None, "link": None, "after": None}
        if (text := waiting.text) is not None:
            start, end = one.span.start, one.span.end
            shown = {
                "before": text[max(0, start - _CONTEXT) : start],
                "link": text[start:end] if end - start <= _LINK else text[start : start + _LINK] + "…",
                "after": text[end : end + _CONTEXT],
            }
        yield {**one.described(), **shown, "plan": digest, "decision": None}


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputUnreadable(f"{file}: {error.strerror}", hint="name a file that `--export` wrote.") from None


def _decide(
    job: Job, database: Database, reviewed: ReviewedPlan, file: Path, content: bytes
) -> tuple[list[DecidedFinding], int]:
    """Every finding with its decisions, and how many decided spans were edited since; raise with all problems."""
    problems = Problems()
    decisions = DecisionFile(read_lines(file, content, problems), reviewed.digest, problems)
    matcher = Matcher(redacting(job.policy), resolver(job, database))
    findings: list[DecidedFinding] = []
    edited = 0
    for page in waiting_findings(database, reviewed):
        chosen = []
        for waiting in page:
            decided = [one for one in map(decisions.decide, waiting.awaiting) if one is not None]
            if decided and waiting.text is None:
                edited += len(decided)
            elif decided:
                chosen.append((waiting, decided))
        findings += decide_findings(chosen, matcher, reviewed.words, problems)
    decisions.close()
    problems.raise_if_any(str(file))
    if not findings:
        raise DecisionsRefused(
            f"{file}: every post that it decides on was edited or deleted since plan {reviewed.plan.plan_id}",
            hint="make a new plan, and review that.",
        )
    return findings, edited


def _made_before(connection: Connection, review: Review) -> ReviewImport | None:
    plan_id = plan_of_file(connection, review.reviewed_plan_id, review.file_sha256)
    if plan_id is None:
        return None
    digest = require_finished(get_plan(connection, plan_id)).hex()
    return ReviewImport(plan_id, review.reviewed_plan_id, digest, {}, 0, made_before=True)


def _make(connection: Connection, review: Review, findings: list[DecidedFinding], edited: int) -> ReviewImport:
    lock_plan(connection, review.reviewed_plan_id)
    if (before := _made_before(connection, review)) is not None:
        return before
    run_id = apply_run_of(connection, review.reviewed_plan_id)
    if run_id is not None:
        raise PlanAlreadyApplied(
            f"plan {review.reviewed_plan_id} was applied by run {run_id}",
            hint="make a new plan: what still waits for a person is in it again, and is reviewed there.",
        )
    plan = make_reviewed_plan(connection, review, findings)
    digest = require_finished(plan).hex()
    decided = Counter(decision.decision for one in findings for decision in one.decisions)
    tell(Event.PLAN_REVIEWED, plan=plan.plan_id, reviewed_plan=review.reviewed_plan_id, digest=digest)
    return ReviewImport(plan.plan_id, review.reviewed_plan_id, digest, dict(decided), edited)
