"""The transaction of one batch: two round trips, or row by row where the database refuses some of the rows."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Final, Self

import psycopg

from cleanup.config import TriggerPolicy
from cleanup.db.arrays import BytesArray, IntegerArray, TextArray
from cleanup.db.batch_exchange import (
    BatchDone,
    BatchGone,
    BatchRange,
    BatchRefused,
    BatchTooLong,
    Ledgering,
    LockedRow,
    Opening,
    RowRefused,
    RowWrite,
)
from cleanup.db.batches import opening_parameters, settling_parameters
from cleanup.db.change_log import adding_parameters, adding_statement
from cleanup.db.connection import Connection, Limits, local_settings
from cleanup.db.keys import Key
from cleanup.db.queries import run_statement, statement
from cleanup.db.retry import is_refusal, is_too_long
from cleanup.db.tables import TextColumn
from cleanup.db.targets import SCOPES, Target

# The batch's rows are found by key, one index look-up each: a hash join would read the whole table.
_BY_INDEX: Final = {"enable_hashjoin": "off", "enable_mergejoin": "off", "enable_seqscan": "off", "jit": "off"}
# Triggers that are not ENABLE ALWAYS stay silent; local, and allowed to roles that were granted it alone.
_WITHOUT_TRIGGERS: Final = {"session_replication_role": "replica"}


class BatchSession:
    """One batch's transaction on one connection. Leaving it without a commit rolls everything back."""

    def __init__(self, connection: Connection, target: Target, batch: BatchRange, limits: Limits) -> None:
        self._connection = connection
        self._target = target
        self._batch = batch
        self._limits = limits
        self._pipeline = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection = self._connection
        with suppress(psycopg.Error):
            # What is wrong has been raised already, or is the connection's end.
            self._pipeline.__exit__(kind, error, trace)
        if not connection.closed and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            try:
                connection.execute(statement("batch_session.roll_back"))
            except psycopg.Error:
                # The connection is of no more use; the server rolls back by itself.
                connection.close()
        if isinstance(error, psycopg.Error) and is_too_long(error):
            raise BatchTooLong(error.sqlstate) from None

    @property
    def batch(self) -> BatchRange:
        """Which findings it covers, and for which lane."""
        return self._batch

    def open(self, keys: Sequence[Key]) -> Opening:
        """Begin, claim the batch, lock and read its rows: the first round trip.

        Raises BatchGone or BatchDone.
        """
        run_id = self._batch.run_id
        parameters = self._target.key_parameters(keys)
        try:
            pipeline = self._pipeline.enter_context(self._connection.pipeline())
            self._begin()
            opened = self._connection.execute(run_statement("batches.open", run_id), self._opening())
            read = self._connection.execute(self._target.lock_and_read(run_id), parameters)
            clock = self._connection.execute(statement("session.server_clock"))
            fingerprint = self._connection.execute(
                statement("catalog.fingerprint"),
                {"oid": self._target.leaf.oid, "key": self._target.table.key_names()},
            )
            # Not left yet: leaving it sends a Flush behind the Sync, and the server then takes us for busy and does
            # not count the time in which we stand idle with our row locks.
            pipeline.sync()
        except psycopg.errors.UniqueViolation:
            raise BatchDone from None
        if opened.fetchone() is None:
            raise BatchGone
        rows = {
            int(place) - 1: LockedRow(SCOPES[str(scope)[0]], tuple(texts)) for place, scope, *texts in read.fetchall()
        }
        found = fingerprint.fetchone()
        content = found[0] if found else None
        missing = [place for place in range(len(keys)) if place not in rows]
        there = self._still_there(pipeline, keys, missing) if missing else frozenset[int]()
        now = clock.fetchone()
        assert now is not None
        return Opening(rows, there, content if isinstance(content, dict) else None, now[0])

    def commit_together(self, writes: Sequence[RowWrite], ledgering: Ledgering) -> None:
        """Write rows, log and checkpoint, and commit: the second round trip.

        Raises BatchRefused where the database refuses or alters any row; then nothing is written.
        """
        try:
            for columns, group in self._by_columns(writes):
                self._connection.execute(
                    self._target.write(self._batch.run_id, columns),
                    {**self._write_parameters(columns, group), "rows": len(group)},
                )
            self._connection.execute(statement("batch_session.immediate"))
            self._ledger(ledgering)
            self._commit()
            self._pipeline.close()
        except psycopg.Error as error:
            if is_refusal(error):
                raise BatchRefused from None
            raise

    def write_alone(self, write: RowWrite) -> dict[int, str | None] | RowRefused:
        """Write one row by itself: the texts that stand there then, or why the database refuses it."""
        # A refused row must not take the statements behind it along, as in a pipeline it does.
        self._pipeline.close()
        columns = [column for column in self._target.table.columns if column.number in write.values]
        self._connection.execute(statement("batch_session.savepoint"))
        try:
            row = self._connection.execute(
                self._target.write_one(self._batch.run_id, columns), self._write_parameters(columns, [write])
            ).fetchone()
            self._connection.execute(statement("batch_session.immediate"))
        except psycopg.Error as error:
            if not is_refusal(error):
                raise
            return self._refuse(f"SQLSTATE {error.sqlstate}")
        if row is None:
            return self._refuse("a trigger returned no row")
        # Where a trigger altered the row, what has to be undone later is what really stands there.
        as_computed = all(part == write.values[column.number][1] for column, part in zip(columns, row, strict=True))
        texts = {number: text for number, (text, _) in write.values.items()} if as_computed else self._read_back(write)
        if texts is None:
            return self._refuse("a trigger took the key away")
        self._connection.execute(statement("batch_session.release"))
        return texts

    def _refuse(self, detail: str) -> RowRefused:
        self._connection.execute(statement("batch_session.undo_one"))
        # Else it would stay until the end of the batch, below the savepoint of each row that follows.
        self._connection.execute(statement("batch_session.release"))
        return RowRefused(detail)

    def _read_back(self, write: RowWrite) -> dict[int, str | None] | None:
        row = self._connection.execute(
            self._target.lock_and_read(self._batch.run_id), self._target.key_parameters([write.key])
        ).fetchone()
        if row is None:
            return None
        _, _, *found = row
        return {number: found[number] for number in write.values}

    def commit_ledger(self, ledgering: Ledgering) -> None:
        """Write log and checkpoint of rows that were written one by one, and commit."""
        self._pipeline.close()
        with self._connection.pipeline():
            self._ledger(ledgering)
            self._commit()

    def _commit(self) -> None:
        self._connection.execute(statement("batch_session.commit"))

    def _begin(self) -> None:
        settings = {**local_settings(self._connection, self._limits), **_BY_INDEX}
        if self._target.table.triggers is TriggerPolicy.SUPPRESS:
            settings.update(_WITHOUT_TRIGGERS)
        self._connection.execute(statement("batch_session.begin"))
        self._connection.execute(
            statement("session.set_local"), {"names": list(settings), "settings": list(settings.values())}
        )

    def _opening(self) -> dict[str, object]:
        batch = self._batch
        return opening_parameters(
            batch.run_id,
            batch.chunk,
            batch.after_number,
            batch.through_number,
            batch.lane,
            batch.findings,
            batch.revision,
            batch.retries,
        )

    def _still_there(self, pipeline: psycopg.Pipeline, keys: Sequence[Key], missing: Sequence[int]) -> frozenset[int]:
        parameters = self._target.key_parameters([keys[place] for place in missing])
        found = self._connection.execute(self._target.still_there(self._batch.run_id), parameters)
        pipeline.sync()
        return frozenset(missing[int(place) - 1] for (place,) in found.fetchall())

    def _by_columns(self, writes: Sequence[RowWrite]) -> list[tuple[list[TextColumn], list[RowWrite]]]:
        # One UPDATE for each set of columns, so that a column that stays is not named in any.
        groups: dict[frozenset[int], list[RowWrite]] = {}
        for write in writes:
            groups.setdefault(frozenset(write.values), []).append(write)
        columns = self._target.table.columns
        return [([column for column in columns if column.number in chosen], group) for chosen, group in groups.items()]

    def _write_parameters(self, columns: Sequence[TextColumn], writes: Sequence[RowWrite]) -> dict[str, object]:
        parameters: dict[str, object] = dict(self._target.key_parameters([write.key for write in writes]))
        for place, column in enumerate(columns):
            parameters[f"v{place}"] = TextArray([write.values[column.number][0] for write in writes])
            parameters[f"h{place}"] = BytesArray([write.values[column.number][1] for write in writes])
        return parameters

    def _ledger(self, ledgering: Ledgering) -> None:
        batch, connection = self._batch, self._connection
        if ledgering.entries:
            connection.execute(
                adding_statement(batch.run_id, batch.source_run_id),
                adding_parameters(
                    batch.run_id, batch.plan_id, batch.source_run_id, batch.chunk.run_pass, ledgering.entries
                ),
            )
        common: dict[str, object] = {"run_id": batch.run_id, "pass": batch.chunk.run_pass}
        if ledgering.unchanged:
            connection.execute(
                run_statement("outcomes.add", batch.run_id),
                {
                    **common,
                    "numbers": IntegerArray([one.finding_number for one in ledgering.unchanged]),
                    "outcomes": TextArray([one.outcome for one in ledgering.unchanged]),
                    "details": TextArray([one.detail for one in ledgering.unchanged]),
                },
            )
        if ledgering.deferred:
            connection.execute(
                run_statement("outcomes.defer", batch.run_id), {**common, "numbers": list(ledgering.deferred)}
            )
        if ledgering.conflicts:
            connection.execute(
                run_statement("outcomes.conflict", batch.run_id),
                {
                    "run_id": batch.run_id,
                    "numbers": [one.finding_number for one in ledgering.conflicts],
                    "link_numbers": [one.link_number for one in ledgering.conflicts],
                    "reasons": [one.reason for one in ledgering.conflicts],
                },
            )
        connection.execute(
            run_statement("batches.settle", batch.run_id),
            settling_parameters(batch.run_id, batch.chunk, batch.after_number, ledgering.settlement),
        )
