"""One walk over all that a run's batches wrote to the ledger: which batches prove themselves, and what is in none."""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain as concatenation
from itertools import groupby
from typing import TypeAlias

from cleanup.db.batches import BatchRow
from cleanup.db.change_log import LogRow
from cleanup.db.connection import Connection
from cleanup.db.log_proof import (
    ConflictRow,
    DeferralRow,
    OutcomeRow,
    conflict_rows,
    deferral_rows,
    outcome_rows,
)
from cleanup.engine.chain import BatchContent, seal
from cleanup.engine.log_chains import BatchEnd, all_log_rows

LedgerRow: TypeAlias = LogRow | OutcomeRow | ConflictRow | DeferralRow


@dataclass(slots=True)
class BatchWalk(BatchEnd):
    """What was found of one batch; `is_linked` while each log row has the chain value that follows from the rest."""

    is_linked: bool = True
    unchanged: list[OutcomeRow] = field(default_factory=list)
    conflicts: list[ConflictRow] = field(default_factory=list)
    deferred: list[int] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether everything that the batch wrote is as it was written."""
        return self.is_linked and self.sealed(self.rows_hash, self.unchanged, self.conflicts) == self.batch.head

    def sealed(self, rows: bytes, unchanged: Iterable[OutcomeRow], conflicts: Iterable[ConflictRow]) -> bytes:
        """The head that the batch would have with log rows of that hash, those outcomes and those conflicts."""
        batch = self.batch
        content = BatchContent(
            run_id=batch.run_id,
            run_pass=batch.run_pass,
            after_number=batch.after_number,
            through_number=batch.through_number,
            chunk_number=batch.chunk_number,
            attempt=batch.attempt,
            lane=batch.lane,
            findings=batch.findings,
            outcomes=batch.outcomes,
            span_outcomes=batch.span_outcomes,
            edited=batch.edited,
            log_rows=batch.log_rows,
            unchanged=[(row.finding_number, row.outcome, row.detail) for row in unchanged],
            conflicts=[(row.finding_number, row.link_number, row.reason) for row in conflicts],
            deferred=self.deferred,
        )
        return seal(rows, content)

    def take(self, row: LedgerRow) -> None:
        """Add what the batch is said to have written; log rows come in the order of their numbers."""
        match row:
            case LogRow():
                self.is_linked &= self.follow(row)
            case OutcomeRow():
                self.unchanged.append(row)
            case ConflictRow():
                self.conflicts.append(row)
            case DeferralRow():
                self.deferred.append(row.finding_number)


def walk_log(connection: Connection, run_id: int, batches: Sequence[BatchRow]) -> Iterator[BatchWalk | LedgerRow]:
    """Every batch once all that belongs to it was read, and between them every row that belongs to none."""
    ordered = sorted(batches, key=lambda batch: (batch.run_pass, batch.after_number))
    passes = {
        run_pass: deque(BatchWalk(batch) for batch in group)
        for run_pass, group in groupby(ordered, key=lambda batch: batch.run_pass)
    }
    for number, rows in groupby(_rows_in_order(connection, run_id), key=lambda row: row.finding_number):
        for waiting in passes.values():
            while waiting and waiting[0].batch.through_number < number:
                yield waiting.popleft()
        yield from _assign(number, list(rows), passes)
    yield from concatenation.from_iterable(passes.values())


def _rows_in_order(connection: Connection, run_id: int) -> Iterator[LedgerRow]:
    sources: Sequence[Iterator[LedgerRow]] = (
        all_log_rows(connection, run_id),
        outcome_rows(connection, run_id),
        conflict_rows(connection, run_id),
        deferral_rows(connection, run_id),
    )
    return heapq.merge(*sources, key=lambda row: row.finding_number)


def _assign(number: int, rows: Sequence[LedgerRow], passes: dict[int, deque[BatchWalk]]) -> Iterator[LedgerRow]:
    """Give the rows of one finding to the batches that wrote them; what belongs to none comes back."""
    settled_in = next((row.run_pass for row in rows if isinstance(row, LogRow | OutcomeRow)), None)
    for row in rows:
        match row:
            case LogRow() | OutcomeRow():
                writer = row.run_pass
            case DeferralRow():
                writer = row.run_pass - 1
            case ConflictRow():
                writer = -1 if settled_in is None else settled_in
        waiting = passes.get(writer)
        if waiting and waiting[0].batch.after_number < number:
            waiting[0].take(row)
        else:
            yield row
