"""One lane of a run: it leases chunks and works through them batch by batch, whatever kind of run it is."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, Generic, Protocol

from cleanup.config import Pace
from cleanup.db.batch_exchange import BatchDone, BatchGone, BatchRange, BatchRefused, BatchTooLong
from cleanup.db.batch_session import BatchSession
from cleanup.db.batches import Settlement, checkpoint
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.retry import Cause
from cleanup.db.run_chunks import (
    RunChunk,
    chunks_are_awaited,
    claim_run_chunk,
    end_pass,
    release_run_chunk,
    renew_run_chunk,
)
from cleanup.db.tables import Fingerprint
from cleanup.db.targets import Target
from cleanup.engine.batch import Batch, BatchPlace, rows_of
from cleanup.engine.gate import Gate, Passage
from cleanup.engine.lanes import IDLE_SECONDS, RENEW_AFTER, Stop
from cleanup.engine.pace import BatchSize, batch_limits, rest_seconds
from cleanup.engine.verdicts import Judge, SomeItem
from cleanup.event_catalogue import Event
from cleanup.links.words import Words
from cleanup.log import bound, tell

# How many items a lane reads ahead, outside of any batch.
_PAGE: Final = 5_000
# Where a batch was refused as a whole, its rows are written one by one, in smaller batches.
_ONE_BY_ONE_FINDINGS: Final = 100
# How often a finding that takes too long by itself is tried before it is left.
_LONE_ATTEMPTS: Final = 5
# Rows that somebody held are visited again a little later.
_BETWEEN_PASSES_SECONDS: Final = 0.5
# How often a lane that is held asks whether it may go on.
_HELD_SECONDS: Final = 0.25


class Items(Protocol[SomeItem]):
    """Where a run's items come from, page by page."""

    def page(self, connection: Connection, chunk: RunChunk, after_number: int, items: int) -> list[SomeItem]:
        """The next items of a chunk's pass, by finding number."""
        ...

    def judge_for(self, connection: Connection, target: Target, items: Sequence[SomeItem]) -> Judge[SomeItem]:
        """The judge of these items, with whatever it has to look up before any lock is taken."""
        ...


@dataclass(frozen=True, slots=True)
class RunPlace:
    """The run, its plan, its leaves as they were planned, and the pace it is to keep."""

    run_id: int
    plan_id: int
    words: Words
    source_run_id: int | None
    targets: dict[int, Target]
    fingerprints: dict[int, Fingerprint]
    pace: Pace
    newest_first: bool = False


class _After(Enum):
    """How a batch ended, for the loop around it."""

    WRITTEN = auto()
    DONE_BEFORE = auto()
    SENT_BACK = auto()


class RunLane(Generic[SomeItem]):
    """Works until no chunk is left or somebody asks to stop.

    `before_batch` is told how many findings the next batch has; it may raise to stop the run.
    """

    def __init__(
        self,
        database: Database,
        place: RunPlace,
        items: Items[SomeItem],
        lane: int,
        stop: Stop,
        before_batch: Callable[[int], None],
    ) -> None:
        self._database = database
        self._place = place
        self._items = items
        self._lane = lane
        self._stop = stop
        self._before_batch = before_batch
        self._gate = Gate(database, place.run_id, place.pace)
        self._size = BatchSize(place.pace.lock_target_ms, place.pace.batch_rows_max)
        self._renewed = 0.0

    def work(self) -> None:
        """Lease chunks and work through them."""
        with bound(run=self._place.run_id):
            self._work()

    def _work(self) -> None:
        while not self._stop.asked():
            passage = self._look()
            if passage is Passage.ENDED:
                return
            if passage is Passage.HELD:
                self._stop.pause(_HELD_SECONDS)
                continue
            chunk = self._database.transact(
                lambda connection: claim_run_chunk(
                    connection,
                    self._place.run_id,
                    self._gate.pace.lease_seconds,
                    newest_first=self._place.newest_first,
                )
            )
            if chunk is not None:
                with bound(table=self._table_of(chunk), chunk=chunk.chunk_number, run_pass=chunk.run_pass):
                    self._work_chunk(chunk)
            elif self._database.transact(lambda connection: chunks_are_awaited(connection, self._place.run_id)):
                self._stop.pause(IDLE_SECONDS)
            else:
                return

    def _work_chunk(self, chunk: RunChunk) -> None:
        if chunk.run_pass:
            self._stop.pause(_BETWEEN_PASSES_SECONDS)
        position = self._checkpoint(chunk)
        ahead: deque[SomeItem] = deque()
        self._renewed = time.monotonic()
        while not self._stop.asked():
            if not self._keeps(chunk):
                return
            if not ahead:
                ahead.extend(self._page(chunk, position))
                if not ahead:
                    if self._end_pass(chunk, position):
                        return
                    break
            items = [ahead.popleft() for _ in range(min(self._size.findings, len(ahead)))]
            self._before_batch(len(items))
            match self._write(chunk, position, items):
                case _After.WRITTEN:
                    position = items[-1].finding_number
                case _After.SENT_BACK if not self._passes_again(chunk):
                    break
                case _After.DONE_BEFORE | _After.SENT_BACK:
                    ahead.clear()
                    position = self._checkpoint(chunk)
        # Asked to stop, or the run was stopped. Where another lane has the chunk by now, its attempt protects it.
        self._database.transact(lambda connection: release_run_chunk(connection, self._place.run_id, chunk))

    def _table_of(self, chunk: RunChunk) -> str:
        return self._place.targets[chunk.leaf_number].leaf.full_name

    def _passes_again(self, chunk: RunChunk) -> bool:
        """Find out why a batch was sent back, and wait at the gate; False where the chunk or the run is lost to us."""
        known = self._gate.revision
        passage = self._look()
        if passage is Passage.OPEN:
            # Nobody has asked anything of the run: so the chunk is another lane's by now.
            return self._gate.revision != known
        while passage is Passage.HELD:
            self._stop.pause(_HELD_SECONDS)
            if self._stop.asked() or not self._keeps(chunk):
                return False
            passage = self._look()
        return passage is Passage.OPEN

    def _look(self) -> Passage:
        passage = self._gate.look()
        self._size.aim(self._gate.pace.lock_target_ms, self._gate.pace.batch_rows_max)
        return passage

    def _end_pass(self, chunk: RunChunk, position: int) -> bool:
        return self._database.transact(lambda connection: end_pass(connection, self._place.run_id, chunk, position))

    def _checkpoint(self, chunk: RunChunk) -> int:
        return self._database.transact(lambda connection: checkpoint(connection, self._place.run_id, chunk))

    def _page(self, chunk: RunChunk, position: int) -> list[SomeItem]:
        return self._database.transact(
            lambda connection: self._items.page(connection, chunk, position, _PAGE), read_only=True
        )

    def _keeps(self, chunk: RunChunk) -> bool:
        """Prolong the chunk's lease where that is due; False where another lane has taken it over."""
        seconds = self._gate.pace.lease_seconds
        if time.monotonic() - self._renewed <= seconds * RENEW_AFTER:
            return True
        self._renewed = time.monotonic()
        return self._database.transact(
            lambda connection: renew_run_chunk(connection, self._place.run_id, chunk, seconds)
        )

    def _write(self, chunk: RunChunk, position: int, items: list[SomeItem], *, one_by_one: bool = False) -> _After:
        """Write the items in one batch, or in several smaller ones where the database wants that."""
        try:
            with bound(batch=position):
                return self._batch(chunk, position, items, one_by_one=one_by_one)
        except BatchRefused:
            tell(Event.BATCH_REFUSED, findings=len(items))
            one_by_one, few = True, _ONE_BY_ONE_FINDINGS
        except BatchTooLong as late:
            tell(Event.BATCH_TOO_LONG, findings=len(items))
            self._size.failed()
            if len(items) == 1:
                return self._insist(chunk, position, items, late)
            few = (len(items) + 1) // 2
        for start in range(0, len(items), few):
            part = items[start : start + few]
            after = self._write(chunk, position, part, one_by_one=one_by_one)
            if after is not _After.WRITTEN:
                return after
            position = part[-1].finding_number
        return _After.WRITTEN

    def _insist(self, chunk: RunChunk, position: int, items: list[SomeItem], late: BatchTooLong) -> _After:
        """Try one finding by itself again, and leave it where that takes too long each time: the run has to end."""
        with bound(batch=position):
            for _ in range(_LONE_ATTEMPTS - 1):
                if self._stop.pause(_HELD_SECONDS) or not self._keeps(chunk):
                    return _After.SENT_BACK
                try:
                    return self._batch(chunk, position, items, one_by_one=True)
                except BatchTooLong as again:
                    tell(Event.BATCH_TOO_LONG, findings=1)
                    late = again
            tell(Event.BATCH_GIVEN_UP, sqlstate=late.sqlstate)
            refusal = f"it took too long at each of {_LONE_ATTEMPTS} attempts, SQLSTATE {late.sqlstate}"
            return self._batch(chunk, position, items, one_by_one=True, refusal=refusal)

    def _batch(
        self, chunk: RunChunk, position: int, items: list[SomeItem], *, one_by_one: bool, refusal: str | None = None
    ) -> _After:
        started = time.monotonic()

        def attempt(connection: Connection) -> Settlement:
            nonlocal started
            judge = self._items.judge_for(connection, target, items)
            started = time.monotonic()
            batch = Batch(place, target, self._place.fingerprints[chunk.leaf_number], judge, rows_of(items))
            again = replace(covered, retries=dict(retries))
            with BatchSession(connection, target, again, batch_limits(self._gate.pace)) as session:
                if refusal is not None:
                    return batch.refuse(session, refusal)
                return batch.run(session, one_by_one=one_by_one)

        def failed(cause: Cause) -> None:
            retries[cause.name.lower()] += 1
            self._size.failed()

        retries = Counter[str]()
        target = self._place.targets[chunk.leaf_number]
        is_last = chunk.run_pass + 1 >= self._gate.pace.locked_passes
        place = BatchPlace(self._place.run_id, chunk.run_pass, self._place.words, is_last)
        covered = BatchRange(
            self._place.run_id,
            self._place.plan_id,
            self._place.source_run_id,
            chunk,
            position,
            items[-1].finding_number,
            self._lane,
            len(items),
            self._gate.revision,
        )
        try:
            settlement = self._database.retry(attempt, failed)
        except BatchGone:
            return _After.SENT_BACK
        except BatchDone:
            # Its commit's answer was lost, or another attempt at the chunk was quicker.
            tell(Event.BATCH_FOUND_DONE)
            return _After.DONE_BEFORE
        elapsed_ms = (time.monotonic() - started) * 1000
        if not one_by_one:
            self._size.measured(len(items), elapsed_ms)
        tell(
            Event.BATCH_COMMITTED,
            through=items[-1].finding_number,
            outcomes=settlement.outcomes,
            elapsed_ms=round(elapsed_ms),
            head=settlement.head.hex(),
        )
        # With nothing locked: for a while the server is the authors' own.
        self._stop.pause(rest_seconds(self._gate.pace, elapsed_ms))
        return _After.WRITTEN
