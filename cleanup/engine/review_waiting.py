"""The findings of a plan that hold a span for a person, with their texts where these are still as planned."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Final

from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.findings import Finding
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import Plan, get_plan
from cleanup.db.posts import present_rows
from cleanup.db.reviews import awaiting_findings
from cleanup.db.targets import Target
from cleanup.engine.guards import require_finished, require_here, require_same_rules, require_same_tables
from cleanup.engine.job import Job, describe_tables
from cleanup.engine.review_decisions import AwaitingSpan, awaiting_spans
from cleanup.engine.spans import decode_spans, value_hash
from cleanup.links.spans import Span
from cleanup.links.words import Words

_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class ReviewedPlan:
    """A finished plan, here and under the same rules, with its tables as they still are."""

    plan: Plan
    words: Words
    digest: str
    targets: Mapping[int, Target]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A finding with spans for a person; `text` is None where the post was edited or deleted since the plan."""

    target: Target
    finding: Finding
    spans: tuple[Span, ...]
    awaiting: tuple[AwaitingSpan, ...]
    text: str | None


def open_reviewed(connection: Connection, job: Job, plan_id: int) -> ReviewedPlan:
    """The plan that is to be reviewed; raise what `apply` would say of its policy, tables and database."""
    require_ledger(connection)
    plan = get_plan(connection, plan_id)
    digest = require_finished(plan)
    require_here(connection, plan)
    require_same_rules(plan, job)
    targets, _ = require_same_tables(connection, plan, describe_tables(connection, job))
    return ReviewedPlan(plan, Words(plan.words), digest.hex(), targets)


def waiting_findings(database: Database, reviewed: ReviewedPlan) -> Iterator[list[Waiting]]:
    """Page by page by finding number, each read in a transaction of its own."""
    after = -1
    while found := database.transact(partial(_page, reviewed=reviewed, after_number=after), read_only=True):
        after, page = found
        yield page


def _page(connection: Connection, reviewed: ReviewedPlan, after_number: int) -> tuple[int, list[Waiting]] | None:
    findings = awaiting_findings(connection, reviewed.plan.plan_id, after_number, _PAGE)
    if not findings:
        return None
    page: list[Waiting] = []
    for leaf_number, group in groupby(findings, key=lambda finding: finding.leaf_number):
        target, on_leaf = reviewed.targets[leaf_number], list(group)
        present = present_rows(connection, target, [finding.key for finding in on_leaf])
        for finding in on_leaf:
            row = present.get(finding.key)
            text = row.texts[finding.column_number] if row is not None else None
            planned = text is not None and value_hash(text) == finding.value_hash
            spans = decode_spans(finding.spans, reviewed.words)
            awaiting = tuple(awaiting_spans(finding, spans, target))
            page.append(Waiting(target, finding, spans, awaiting, text if planned else None))
    return findings[-1].finding_number, [one for one in page if one.awaiting]
