"""Batches that are rolled back: all of a batch's writes, measured, and no trace of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.rows import TupleRow, args_row

from cleanup.db.batch_exchange import BatchRange, Ledgering, Opening, RowWrite, UnchangedFinding
from cleanup.db.batch_session import BatchSession
from cleanup.db.connection import Connection, Limits
from cleanup.db.keys import Key
from cleanup.db.queries import run_statement, statement
from cleanup.db.run_chunks import RunChunk
from cleanup.db.targets import Target

# A rehearsal is no run: the number is given to none.
REHEARSAL_RUN: Final = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """What one batch took: for how long it held its locks, and what the server's WAL grew by, whoever wrote it."""

    lock_ms: float
    wal_bytes: int


class RehearsalSession(BatchSession):
    """A batch's transaction that ends in a rollback where the batch would commit."""

    def __init__(self, connection: Connection, target: Target, batch: BatchRange, limits: Limits) -> None:
        super().__init__(connection, target, batch, limits)
        self._before: psycopg.Cursor[TupleRow] | None = None
        self._at_end: psycopg.Cursor[TupleRow] | None = None
        self._wal_before = 0
        self._measured = Measured(0.0, 0)
        self.unchanged: Sequence[UnchangedFinding] = ()

    @property
    def measured(self) -> Measured:
        """What the batch took; known once it was rolled back."""
        return self._measured

    def open(self, keys: Sequence[Key]) -> Opening:
        """The same as a batch's own, in a run that is nobody else's to see."""
        opening = super().open(keys)
        self._wal_before = int(_row(self._before)[0])
        return opening

    def commit_together(self, writes: Sequence[RowWrite], ledgering: Ledgering) -> None:
        """Write all that the batch writes, and roll it back."""
        super().commit_together(writes, ledgering)
        self._settle(ledgering)

    def commit_ledger(self, ledgering: Ledgering) -> None:
        """The same, where the rows were written one by one."""
        super().commit_ledger(ledgering)
        self._settle(ledgering)

    def _begin(self) -> None:
        super()._begin()
        chunk = self.batch.chunk
        self._connection.execute(
            run_statement("rehearsals.set_up", REHEARSAL_RUN),
            {
                "plan_id": self.batch.plan_id,
                "chunk_number": chunk.chunk_number,
                "leaf_number": chunk.leaf_number,
                # What came before it was rolled back: so the batch stands at the beginning of its chunk.
                "after_number": self.batch.after_number,
                "through_number": chunk.through_number,
                "attempt": chunk.attempt,
            },
        )
        self._before = self._connection.execute(statement("rehearsals.wal"))

    def _commit(self) -> None:
        self._at_end = self._connection.execute(statement("rehearsals.measure"))
        self._connection.execute(statement("batch_session.roll_back"))

    def _settle(self, ledgering: Ledgering) -> None:
        lock_ms, wal = _row(self._at_end)
        self._measured = Measured(float(lock_ms), int(wal) - self._wal_before)
        self.unchanged = ledgering.unchanged


def rehearsal_chunks(connection: Connection, plan_id: int) -> list[RunChunk]:
    """The plan's chunks that have something to do."""
    with connection.cursor(row_factory=args_row(RunChunk)) as cursor:
        return cursor.execute(statement("rehearsals.chunks"), {"plan_id": plan_id}).fetchall()


def _row(cursor: psycopg.Cursor[TupleRow] | None) -> TupleRow:
    row = cursor.fetchone() if cursor is not None else None
    assert row is not None
    return row
