"""Reviews: the findings that wait for a person, and the plan that a person's decisions make of a plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg.rows import args_row
from psycopg.types.json import Jsonb

from cleanup.db.connection import Connection
from cleanup.db.findings import Finding
from cleanup.db.queries import statement


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """One decided span, and the line of the file that decides it."""

    finding_number: int
    span_number: int
    decision: str
    file_line: int


@dataclass(frozen=True, slots=True)
class ReviewedChunk:
    """What a chunk counted."""

    actionable: int
    counts: Mapping[str, object]


def awaiting_findings(connection: Connection, plan_id: int, after_number: int, findings: int) -> list[Finding]:
    """The next historical findings that may hold a span for a person, by number."""
    with connection.cursor(row_factory=args_row(Finding)) as cursor:
        return cursor.execute(
            statement("reviews.awaiting"), {"plan_id": plan_id, "after_number": after_number, "findings": findings}
        ).fetchall()


def plan_of_file(connection: Connection, reviewed_plan_id: int, file_sha256: bytes) -> int | None:
    """The plan that this file has made of that one before, if it has."""
    row = connection.execute(
        statement("reviews.of_file"), {"reviewed_plan_id": reviewed_plan_id, "file_sha256": file_sha256}
    ).fetchone()
    return int(row[0]) if row else None


def derive_plan(connection: Connection, reviewed_plan_id: int, decided: Sequence[int]) -> int:
    """Copy a plan in the open transaction, but for the findings with these numbers; the number of the new one."""
    row = connection.execute(statement("reviews.derive_plan"), {"reviewed_plan_id": reviewed_plan_id}).fetchone()
    assert row is not None
    plan_id = int(row[0])
    both: dict[str, object] = {"plan_id": plan_id, "reviewed_plan_id": reviewed_plan_id}
    connection.execute(statement("plans.add_findings"), {"plan_id": plan_id})
    connection.execute(statement("reviews.copy_leaves"), both)
    connection.execute(statement("reviews.copy_columns"), both)
    connection.execute(statement("reviews.copy_chunks"), both)
    connection.execute(statement("reviews.copy_findings"), {**both, "decided": list(decided)})
    return plan_id


def reviewed_chunk(connection: Connection, plan_id: int, chunk_number: int) -> ReviewedChunk:
    """What a chunk of a plan counted."""
    with connection.cursor(row_factory=args_row(ReviewedChunk)) as cursor:
        chunk = cursor.execute(
            statement("reviews.chunk_counts"), {"plan_id": plan_id, "chunk_number": chunk_number}
        ).fetchone()
    assert chunk is not None
    return chunk


def recount_chunk(
    connection: Connection, plan_id: int, chunk_number: int, actionable: int, counts: Mapping[str, object]
) -> None:
    """Give a copied chunk its counts with the decisions."""
    connection.execute(
        statement("reviews.recount"),
        {"plan_id": plan_id, "chunk_number": chunk_number, "actionable": actionable, "counts": Jsonb(counts)},
    )


def add_review(
    connection: Connection,
    plan_id: int,
    reviewed_plan_id: int,
    reviewer: str,
    file_sha256: bytes,
    decisions: Sequence[ReviewDecision],
) -> None:
    """Record who decided what, in the open transaction."""
    connection.execute(
        statement("reviews.add"),
        {
            "plan_id": plan_id,
            "reviewed_plan_id": reviewed_plan_id,
            "reviewer": reviewer,
            "file_sha256": file_sha256,
        },
    )
    connection.execute(
        statement("reviews.add_decisions"),
        {
            "plan_id": plan_id,
            "finding_numbers": [one.finding_number for one in decisions],
            "span_numbers": [one.span_number for one in decisions],
            "decisions": [one.decision for one in decisions],
            "file_lines": [one.file_line for one in decisions],
        },
    )
