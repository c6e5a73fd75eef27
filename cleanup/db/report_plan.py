"""What a plan's report counts in the findings themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import args_row

from cleanup.db.connection import Connection
from cleanup.db.findings import Finding
from cleanup.db.instants import read_any_instant
from cleanup.db.keys import Key, read_key
from cleanup.db.queries import statement


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Values and links of one class; a value with links of several classes is in each."""

    table: str
    column: str
    format: str
    scope: str
    platform: str
    kind: str
    decision: str
    reason: str
    values: int
    links: int


@dataclass(frozen=True, slots=True)
class MonthCount:
    """Links of one month's posts; `month` is YYYY-MM, and empty for posts without a date."""

    month: str
    scope: str
    decision: str
    links: int


@dataclass(frozen=True, slots=True)
class LaterCount:
    """Values and links in scope of posts created from the cutover on, where the config includes those."""

    table: str
    decision: str
    values: int
    links: int


@dataclass(frozen=True, slots=True)
class AuthorCount:
    """One author's values and links that would be changed."""

    author: str
    values: int
    links: int


@dataclass(frozen=True, slots=True)
class SpreadCount:
    """How many things are in one class of a distribution: 1 is links by length, 2 values and 3 authors by links."""

    number: int
    place: int
    things: int


@dataclass(frozen=True, slots=True)
class Sampled:
    """One link of a finding, and how many links its class has."""

    finding: Finding
    span_number: int
    links: int


@dataclass(frozen=True, slots=True)
class FindingSums:
    """The sums over a plan's findings; `links` counts the outermost ones."""

    findings: int
    actionable: int
    refused: int
    links: int


@dataclass(frozen=True, slots=True)
class RefusedValue:
    """A value that the plan can not change, and why."""

    leaf: str
    column: str
    key: Key
    author: str | None
    refusal: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", read_key(self.key))


@dataclass(frozen=True, slots=True)
class ReviewCount:
    """One review: whose decisions on a plan led to this one, and how many links they were for."""

    reviewed_plan_id: int
    reviewer: str
    decided_as: str
    decided_at: datetime
    redacted: int
    kept: int


def review_counts(connection: Connection, plan_id: int) -> tuple[ReviewCount, ...]:
    """The reviews that a plan comes from, oldest first."""
    with connection.cursor(row_factory=args_row(ReviewCount)) as cursor:
        return tuple(cursor.execute(statement("report_plan.reviews"), {"plan_id": plan_id}))


def class_counts(connection: Connection, plan_id: int) -> tuple[ClassCount, ...]:
    """Every class of links that the plan holds."""
    with connection.cursor(row_factory=args_row(ClassCount)) as cursor:
        return tuple(cursor.execute(statement("report_plan.classes"), {"plan_id": plan_id}))


def month_counts(connection: Connection, plan_id: int, offset_seconds: int) -> tuple[MonthCount, ...]:
    """Links by month, scope and decision; months begin at midnight at that offset from UTC."""
    parameters = {"plan_id": plan_id, "offset_seconds": offset_seconds}
    with connection.cursor(row_factory=args_row(MonthCount)) as cursor:
        return tuple(cursor.execute(statement("report_plan.months"), parameters))


def later_counts(connection: Connection, plan_id: int) -> tuple[LaterCount, ...]:
    """The later posts' part of what is in scope; nothing where the config leaves them."""
    with connection.cursor(row_factory=args_row(LaterCount)) as cursor:
        return tuple(cursor.execute(statement("report_plan.later"), {"plan_id": plan_id}))


def author_counts(connection: Connection, plan_id: int, authors: int) -> tuple[AuthorCount, ...]:
    """The authors with most links to change."""
    with connection.cursor(row_factory=args_row(AuthorCount)) as cursor:
        return tuple(cursor.execute(statement("report_plan.authors"), {"plan_id": plan_id, "authors": authors}))


def spread_counts(
    connection: Connection, plan_id: int, lengths: Sequence[int], counts: Sequence[int]
) -> tuple[SpreadCount, ...]:
    """The distributions; `place` counts from 1 the numbers at which the classes begin."""
    parameters = {"plan_id": plan_id, "lengths": list(lengths), "counts": list(counts)}
    with connection.cursor(row_factory=args_row(SpreadCount)) as cursor:
        return tuple(cursor.execute(statement("report_plan.spreads"), parameters))


def sampled_links(connection: Connection, plan_id: int, each: int, samples: int) -> list[Sampled]:
    """At most `each` links of every class and `samples` in all, by place."""
    parameters = {"plan_id": plan_id, "each": each, "samples": samples}
    with connection.cursor(row_factory=args_row(_sampled)) as cursor:
        read_any_instant(cursor)
        return cursor.execute(statement("report_plan.samples"), parameters).fetchall()


def _sampled(
    finding_number: int,
    leaf_number: int,
    column_number: int,
    scope: str,
    actionable: bool,
    refusal: str | None,
    key: Key,
    created_at: datetime | None,
    author: str | None,
    value_hash: bytes,
    finding_hash: bytes,
    spans: str,
    span_number: int,
    links: int,
) -> Sampled:
    finding = Finding(
        finding_number,
        leaf_number,
        column_number,
        scope,
        actionable,
        refusal,
        key,
        created_at,
        author,
        value_hash,
        finding_hash,
        spans,
    )
    return Sampled(finding, span_number, links)


def finding_sums(connection: Connection, plan_id: int) -> FindingSums:
    """The sums over the findings, to hold against those of the chunks."""
    with connection.cursor(row_factory=args_row(FindingSums)) as cursor:
        sums = cursor.execute(statement("report_plan.sums"), {"plan_id": plan_id}).fetchone()
    assert sums is not None
    return sums


def refused_list(connection: Connection, plan_id: int, rows: int) -> tuple[RefusedValue, ...]:
    """The first values that the plan can not change."""
    with connection.cursor(row_factory=args_row(RefusedValue)) as cursor:
        return tuple(cursor.execute(statement("report_plan.refused"), {"plan_id": plan_id, "rows": rows}))
