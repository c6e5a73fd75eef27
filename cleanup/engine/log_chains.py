"""Log rows against the chains of their batches, wherever rows and batches come from."""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from cleanup.db.batches import BatchRow
from cleanup.db.change_log import LogRow, page_of_log
from cleanup.db.connection import Connection
from cleanup.engine.chain import CHAIN_START, link, row_digest, spelled_instant

_PAGE: Final = 5_000
_NO_END: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class LogProblem:
    """One thing that is wrong with a log, and where the value stands; None where no single finding can be named."""

    finding_number: int | None
    what: str
    leaf_name: str | None = None
    column_name: str | None = None
    key: tuple[str, ...] | None = None


@dataclass(slots=True)
class BatchEnd:
    """How far a batch's rows have come: their number, their hash, and the chain value of the last one."""

    batch: BatchRow
    chain: bytes = CHAIN_START
    rows: int = 0
    _running: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @property
    def rows_hash(self) -> bytes:
        """What the batch's head says of the rows."""
        return self._running.digest()

    def follow(self, row: LogRow) -> bool:
        """Take the next row of the batch; False where its chain value does not follow from the one before."""
        digest = digest_of(row)
        follows = link(self.chain, digest) == row.chain
        self._running.update(digest)
        self.chain = row.chain
        self.rows += 1
        return follows


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
        if end.follow(row):
            return None
        return LogProblem(row.finding_number, "was changed, or the row before it is missing")

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


def digest_of(row: LogRow) -> bytes:
    """The digest of a log row as it is now."""
    return row_digest(
        row,
        run_id=row.run_id,
        run_pass=row.run_pass,
        outcome=row.outcome,
        hashes=(row.hash_before, row.hash_after),
        salt=row.salt,
        edits=row.edits,
        logged_at=str(spelled_instant(row.logged_at)),
    )


def all_log_rows(connection: Connection, run_id: int) -> Iterator[LogRow]:
    """A run's whole log by finding number, read in pages."""
    after = -1
    while page := page_of_log(connection, run_id, after, _NO_END, _PAGE):
        yield from page
        after = page[-1].finding_number
