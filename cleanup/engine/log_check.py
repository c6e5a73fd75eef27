"""Proving the change log: every row against the chain of its batch, every batch against its head."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
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
class BatchEnd:
    """How far a batch's rows have come: their number, and the chain value of the last one."""

    batch: BatchRow
    chain: bytes = CHAIN_START
    rows: int = 0


class LogWalk:
    """Takes a run's log rows by finding number, wherever they come from, and holds each against its batch's chain."""

    def __init__(self, batches: Iterable[BatchRow]) -> None:
        self._ends = {(batch.run_pass, batch.after_number): BatchEnd(batch) for batch in batches}
        self._starts: dict[int, list[int]] = {}
        for run_pass, after_number in sorted(self._ends):
            self._starts.setdefault(run_pass, []).append(after_number)

    def take(self, row: LogRow) -> LogProblem | None:
        """What is wrong with the next row, if anything is."""
        end = self._end_of(row)
        if end is None:
            return LogProblem(row.finding_number, "is in no batch: the row was added")
        fits = _expected(row, end.chain) == row.chain
        end.chain = row.chain
        end.rows += 1
        return None if fits else LogProblem(row.finding_number, "was changed, or the row before it is missing")

    def ends(self) -> Iterable[BatchEnd]:
        """Where the rows that were taken have led each batch."""
        return self._ends.values()

    def _end_of(self, row: LogRow) -> BatchEnd | None:
        starts = self._starts.get(row.run_pass, [])
        place = bisect_left(starts, row.finding_number)
        if place == 0:
            return None
        end = self._ends[row.run_pass, starts[place - 1]]
        return end if row.finding_number <= end.batch.through_number else None


def check_log(connection: Connection, run: Run) -> list[LogProblem]:
    """Every problem of a run's log: rows changed, missing, added or reordered, and heads that do not fit."""
    batches = batch_rows(connection, run.run_id)
    walk = LogWalk(batches)
    problems = [problem for row in all_log_rows(connection, run.run_id) if (problem := walk.take(row))]
    for end in walk.ends():
        problems += _judge_batch(end)
    if run.log_head is not None and run.log_head != run_head(batches):
        problems.append(LogProblem(None, "the head of the run does not fit its batches"))
    return problems


def all_log_rows(connection: Connection, run_id: int) -> Iterator[LogRow]:
    """A run's whole log by finding number, read in pages."""
    after = -1
    while page := page_of_log(connection, run_id, after, _NO_END, _PAGE):
        yield from page
        after = page[-1].finding_number


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


def _judge_batch(end: BatchEnd) -> Iterator[LogProblem]:
    name = f"batch pass {end.batch.run_pass} after {end.batch.after_number}"
    if end.rows != end.batch.log_rows:
        yield LogProblem(None, f"{name} has {end.rows} log rows instead of {end.batch.log_rows}")
