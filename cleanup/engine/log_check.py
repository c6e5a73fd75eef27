"""Proving the change log: every row against the chain of its batch, every batch against its head."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cleanup.db.batches import BatchRow, batch_rows
from cleanup.db.change_log import LogRow, page_of_log
from cleanup.db.connection import Connection
from cleanup.db.runs import Run
from cleanup.engine.chain import CHAIN_START, Written, link, row_digest, run_head

_PAGE: Final = 5_000
_NO_END: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class LogProblem:
    """One thing that is wrong with a log; `finding_number` is None where no single row can be named."""

    finding_number: int | None
    what: str


@dataclass(slots=True)
class _Walk:
    batch: BatchRow
    chain: bytes = CHAIN_START
    rows: int = 0


def check_log(connection: Connection, run: Run) -> list[LogProblem]:
    """Every problem of a run's log: rows changed, missing, added or reordered, and heads that do not fit."""
    heads = batch_rows(connection, run.run_id)
    problems: list[LogProblem] = []
    walks: dict[tuple[int, int], _Walk] = {(head.run_pass, head.after_number): _Walk(head) for head in heads}
    ordered = {run_pass: sorted(after for p, after in walks if p == run_pass) for run_pass, _ in walks}
    for row in all_log_rows(connection, run.run_id):
        walk = _walk_of(row, walks, ordered)
        if walk is None:
            problems.append(LogProblem(row.finding_number, "is in no batch: the row was added"))
            continue
        if _expected(row, walk.chain) != row.chain:
            problems.append(LogProblem(row.finding_number, "was changed, or the row before it is missing"))
        walk.chain = row.chain
        walk.rows += 1
    for walk in walks.values():
        problems += _judge_batch(walk)
    if run.log_head is not None and run.log_head != run_head(heads):
        problems.append(LogProblem(None, "the head of the run does not fit its batches"))
    return problems


def all_log_rows(connection: Connection, run_id: int) -> Iterator[LogRow]:
    """A run's whole log by finding number, read in pages."""
    after = -1
    while page := page_of_log(connection, run_id, after, _NO_END, _PAGE):
        yield from page
        after = page[-1].finding_number


def _walk_of(row: LogRow, walks: dict[tuple[int, int], _Walk], ordered: dict[int, list[int]]) -> _Walk | None:
    starts = ordered.get(row.run_pass, [])
    place = bisect_left(starts, row.finding_number)
    if place == 0:
        return None
    walk = walks[row.run_pass, starts[place - 1]]
    return walk if row.finding_number <= walk.batch.through_number else None


def _expected(row: LogRow, previous: bytes) -> bytes:
    written = Written(
        row.run_id,
        row.run_pass,
        row.outcome,
        row.value_id,
        row.hash_before,
        row.hash_after,
        row.salt,
        row.edits,
        row.logged_at,
    )
    return link(previous, row_digest(row, written))


def _judge_batch(walk: _Walk) -> Iterator[LogProblem]:
    name = f"batch pass {walk.batch.run_pass} after {walk.batch.after_number}"
    if walk.rows != walk.batch.log_rows:
        yield LogProblem(None, f"{name} has {walk.rows} log rows instead of {walk.batch.log_rows}")
