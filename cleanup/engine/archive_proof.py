"""Proving a log against its run's head with nothing but its own rows and batches, wherever both come from."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from cleanup.db.archives import SettledBatch
from cleanup.db.change_log import LogRow
from cleanup.engine.chain import BatchContent, run_head, seal
from cleanup.engine.log_chains import BatchEnd, LogWalk


class LogUnproved(Exception):
    """A log does not lead to its run's head; the message says where."""


class LogProof:
    """Holds rows against the chains of their batches as they pass by, and in the end the batches against the head."""

    def __init__(self, batches: Iterable[SettledBatch]) -> None:
        # What a batch left may be long, and is not needed before the end.
        bare = [replace(batch, unchanged=(), conflicts=(), deferred=()) for batch in batches]
        self._walk = LogWalk(bare)
        self.batches = len(bare)
        self.rows = 0

    def passing(self, rows: Iterable[LogRow]) -> Iterator[LogRow]:
        """The same rows; raise LogUnproved at the first one that does not fit."""
        for row in rows:
            problem = self._walk.take(row)
            if problem is not None:
                raise LogUnproved(f"the log row of finding {problem.finding_number} {problem.what}")
            self.rows += 1
            yield row

    def require(self, batches: Iterable[SettledBatch], log_head: bytes | None) -> None:
        """Raise LogUnproved unless all rows have passed by, and they and the same batches lead to the head."""
        ends = {(end.batch.run_pass, end.batch.after_number): end for end in self._walk.ends()}
        if run_head(_fitting(batches, ends)) != log_head or ends:
            raise LogUnproved("the batches do not fit the run's head")


def _fitting(batches: Iterable[SettledBatch], ends: dict[tuple[int, int], BatchEnd]) -> Iterator[SettledBatch]:
    for batch in batches:
        end = ends.pop((batch.run_pass, batch.after_number), None)
        if end is None or end.rows != batch.log_rows or batch.head != _head(end, batch):
            raise LogUnproved(f"the batch of pass {batch.run_pass} after {batch.after_number} does not fit its head")
        yield batch


def _head(end: BatchEnd, batch: SettledBatch) -> bytes:
    return seal(
        end.rows_hash,
        BatchContent(
            run_id=batch.run_id,
            run_pass=batch.run_pass,
            after_number=batch.after_number,
            through_number=batch.through_number,
            chunk_number=batch.chunk_number,
            attempt=batch.attempt,
            lane=batch.lane,
            findings=batch.findings,
            outcomes=batch.outcomes or {},
            span_outcomes=batch.span_outcomes or {},
            edited=batch.edited or 0,
            log_rows=end.rows,
            unchanged=batch.unchanged,
            conflicts=batch.conflicts,
            deferred=batch.deferred,
        ),
    )
