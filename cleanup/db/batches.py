"""Batches: a row each, inserted before the work and settled with it; the newest one is the checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import args_row
from psycopg.types.json import Jsonb

from cleanup.db.connection import Connection
from cleanup.db.instants import read_any_instant
from cleanup.db.queries import run_statement
from cleanup.db.run_chunks import RunChunk


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one batch came to: counts by outcome, and the head of its chain of log rows."""

    outcomes: dict[str, int]
    span_outcomes: dict[str, int]
    edited: int
    log_rows: int
    head: bytes


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One batch as the ledger has it; what its settling fills in is None where somebody took it away.

    `lock_ms` is the column's bytes, since no number of ours has exactly its digits; `retries` is the server's text.
    """

    run_id: int
    run_pass: int
    after_number: int
    through_number: int
    chunk_number: int
    attempt: int
    lane: int
    findings: int
    outcomes: dict[str, int] | None
    span_outcomes: dict[str, int] | None
    edited: int | None
    log_rows: int | None
    head: bytes | None
    written_at: datetime
    lock_ms: bytes | None
    retries: str | None


@dataclass(frozen=True, slots=True)
class RunTotals:
    """What a run has come to so far; `longest_lock_ms` is the longest batch transaction."""

    batches: int
    findings: int
    edited: int
    log_rows: int
    longest_lock_ms: float
    first_written_at: datetime | None
    last_written_at: datetime | None


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """How many findings and spans ended in one outcome."""

    outcome: str
    findings: int
    spans: int


def opening_parameters(
    run_id: int,
    chunk: RunChunk,
    after_number: int,
    through_number: int,
    lane: int,
    findings: int,
    revision: int,
    retries: Mapping[str, int],
) -> dict[str, object]:
    """The parameters of `batches.open`; `revision` is that of the control that the lane knows."""
    return {
        "run_id": run_id,
        "chunk_number": chunk.chunk_number,
        "attempt": chunk.attempt,
        "pass": chunk.run_pass,
        "after_number": after_number,
        "through_number": through_number,
        "lane": lane,
        "findings": findings,
        "revision": revision,
        "retries": Jsonb(dict(retries)) if retries else None,
    }


def settling_parameters(run_id: int, chunk: RunChunk, after_number: int, settlement: Settlement) -> dict[str, object]:
    """The parameters of `batches.settle`."""
    return {
        "run_id": run_id,
        "pass": chunk.run_pass,
        "after_number": after_number,
        "outcomes": Jsonb(settlement.outcomes),
        "span_outcomes": Jsonb(settlement.span_outcomes),
        "edited": settlement.edited,
        "log_rows": settlement.log_rows,
        "head": settlement.head,
    }


def checkpoint(connection: Connection, run_id: int, chunk: RunChunk) -> int:
    """The last finding number that this pass over the chunk has settled."""
    row = connection.execute(
        run_statement("batches.checkpoint", run_id),
        {
            "run_id": run_id,
            "pass": chunk.run_pass,
            "after_number": chunk.after_number,
            "through_number": chunk.through_number,
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def batch_rows(connection: Connection, run_id: int) -> list[BatchRow]:
    """Every batch of a run, in the order of the run's head."""
    with connection.cursor(row_factory=args_row(BatchRow)) as cursor:
        read_any_instant(cursor)
        return cursor.execute(run_statement("batches.rows", run_id), {"run_id": run_id}).fetchall()


def run_totals(connection: Connection, run_id: int) -> RunTotals:
    """The sums over a run's batches."""
    with connection.cursor(row_factory=args_row(RunTotals)) as cursor:
        totals = cursor.execute(run_statement("batches.totals", run_id), {"run_id": run_id}).fetchone()
    assert totals is not None
    return totals


def outcome_counts(connection: Connection, run_id: int) -> list[OutcomeCount]:
    """Findings and spans of a run by outcome; deferred findings are not in it."""
    with connection.cursor(row_factory=args_row(OutcomeCount)) as cursor:
        return cursor.execute(run_statement("batches.outcome_counts", run_id), {"run_id": run_id}).fetchall()
