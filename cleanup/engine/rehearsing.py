"""A rehearsal: every write of a plan, batch by batch, each rolled back; at any time, and without an approval."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from cleanup.db.batch_exchange import BatchDone, BatchGone, BatchRange, BatchRefused, BatchTooLong
from cleanup.db.batches import Settlement
from cleanup.db.chunks import actionable_findings
from cleanup.db.connection import SCAN_LIMITS, Connection
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.findings import Finding, page_of_findings
from cleanup.db.keys import Key
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import get_plan
from cleanup.db.rehearsals import REHEARSAL_RUN, RehearsalSession, rehearsal_chunks
from cleanup.db.run_chunks import RunChunk
from cleanup.db.runs import apply_run_of
from cleanup.db.tables import Fingerprint
from cleanup.db.targets import Target
from cleanup.engine.apply_judge import ApplyJudge
from cleanup.engine.batch import Batch, BatchPlace, rows_of
from cleanup.engine.checks.preflight import require_writable
from cleanup.engine.guards import (
    require_finished,
    require_here,
    require_same_rules,
    require_same_tables,
    require_signed_findings,
)
from cleanup.engine.job import Job, describe_tables, resolver_within
from cleanup.engine.matching import Matcher
from cleanup.engine.pace import BatchSize, batch_limits, rest_seconds
from cleanup.engine.verdicts import Outcome
from cleanup.errors import PlanAlreadyApplied
from cleanup.event_catalogue import Event
from cleanup.links.words import Words
from cleanup.log import tell

APPLICATION_NAME: Final = "cleanup apply --rehearse"
_PAGE: Final = 5_000
_LANES: Final = 1
# Where a batch was refused as a whole, its rows are written one by one, in smaller batches.
_ONE_BY_ONE_FINDINGS: Final = 100


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A value that the database would not take, and why."""

    leaf_name: str
    column_name: str
    key: Key
    detail: str


@dataclass(slots=True)
class Rehearsal:
    """What a rehearsal came to. `wal_bytes` is what the server's WAL grew by meanwhile, full-page images and others'
    writes included; `planned` counts the plan's findings, of which `findings` were rehearsed."""

    plan_id: int
    digest: str
    planned: int
    findings: int = 0
    batches: int = 0
    seconds: float = 0.0
    lock_ms: float = 0.0
    longest_lock_ms: float = 0.0
    wal_bytes: int = 0
    edited: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    links: Counter[str] = field(default_factory=Counter)
    refused: list[RefusedRow] = field(default_factory=list)

    @property
    def leaves_work(self) -> bool:
        """Whether a run would leave something; a row that somebody holds just now says nothing about that."""
        left = (Outcome(name) for name, findings in self.outcomes.items() if findings)
        return any(outcome.leaves_work and outcome is not Outcome.LOCKED_OUT for outcome in left)

    def add(self, settlement: Settlement, session: RehearsalSession, items: list[Finding], target: Target) -> None:
        """Add one batch that was rolled back."""
        self.findings += len(items)
        self.batches += 1
        self.lock_ms += session.measured.lock_ms
        self.longest_lock_ms = max(self.longest_lock_ms, session.measured.lock_ms)
        self.wal_bytes += session.measured.wal_bytes
        self.edited += settlement.edited
        self.outcomes.update(settlement.outcomes)
        self.links.update(settlement.span_outcomes)
        by_number = {item.finding_number: item for item in items}
        names = {column.number: column.name for column in target.table.columns}
        for one in session.unchanged:
            if one.outcome == Outcome.REFUSED_BY_DATABASE.value:
                item = by_number[one.finding_number]
                column = names[item.column_number]
                self.refused.append(RefusedRow(target.leaf.full_name, column, item.key, one.detail or ""))


@dataclass(frozen=True, slots=True)
class _Stage:
    job: Job
    plan_id: int
    words: Words
    digest: str
    planned: int
    targets: dict[int, Target]
    fingerprints: dict[int, Fingerprint]
    chunks: list[RunChunk]


def rehearse_plan(job: Job, plan_id: int, limit: int | None, on_batch: Callable[[Rehearsal], None]) -> Rehearsal:
    """Do a finished plan's writes, at most `limit` findings of them, and roll each batch back.

    Consumes no approval and needs none, nor the cutover. All that stays of it is an event with what it measured. Raises
    what `apply` would say of the plan, its rules, its tables and its findings, and PlanAlreadyApplied where the plan
    has a run.
    """
    database = Database(job.dsn, APPLICATION_NAME)
    try:
        stage = database.transact(lambda connection: _set_up(connection, job, plan_id), SCAN_LIMITS, read_only=True)
        tell(Event.REHEARSAL_STARTED, plan=plan_id, findings=stage.planned)
        rehearsal = _Rehearser(database, stage, stage.planned if limit is None else limit, on_batch).work()
        _record(database, rehearsal)
        return rehearsal
    finally:
        database.close()


def _set_up(connection: Connection, job: Job, plan_id: int) -> _Stage:
    require_ledger(connection)
    plan = get_plan(connection, plan_id)
    digest = require_finished(plan)
    require_here(connection, plan)
    require_same_rules(plan, job)
    targets, fingerprints = require_same_tables(connection, plan, describe_tables(connection, job))
    if (run_id := apply_run_of(connection, plan_id)) is not None:
        raise _applied(plan_id, f"run {run_id}")
    require_writable(connection, job)
    require_signed_findings(connection, plan)
    planned = actionable_findings(connection, plan_id)
    chunks = rehearsal_chunks(connection, plan_id)
    return _Stage(job, plan_id, Words(plan.words), digest.hex(), planned, targets, fingerprints, chunks)


def _record(database: Database, rehearsal: Rehearsal) -> None:
    """Keep what was measured: before a plan's first run, nothing else tells the signer how long it will take."""
    measured = {
        "findings": rehearsal.findings,
        "elapsed_ms": round(rehearsal.seconds * 1_000),
        "wal_bytes": rehearsal.wal_bytes,
        "lanes": _LANES,
    }
    event = Event.REHEARSAL_FINISHED
    database.transact(lambda connection: add_event(connection, event, plan_id=rehearsal.plan_id, **measured))
    tell(event, plan=rehearsal.plan_id, **measured)


def _applied(plan_id: int, by: str) -> PlanAlreadyApplied:
    return PlanAlreadyApplied(
        f"plan {plan_id} is applied by {by}", hint="what runs can not be rehearsed any more; rehearse a new plan."
    )


class _Rehearser:
    """Takes the plan's findings as one lane of a run would, and writes none of them for good."""

    def __init__(self, database: Database, stage: _Stage, limit: int, on_batch: Callable[[Rehearsal], None]) -> None:
        self._database = database
        self._stage = stage
        self._limit = limit
        self._on_batch = on_batch
        self._pace = stage.job.config.pace
        self._size = BatchSize(self._pace.lock_target_ms, self._pace.batch_rows_max)
        self._matcher = Matcher(stage.job.policy, None)
        self._rehearsal = Rehearsal(stage.plan_id, stage.digest, stage.planned)

    def work(self) -> Rehearsal:
        """Rehearse chunk by chunk, up to the limit."""
        started = time.monotonic()
        for chunk in self._stage.chunks:
            position = chunk.after_number
            for items in self._batches(chunk):
                position = self._write(chunk, position, items)
                self._on_batch(self._rehearsal)
        self._rehearsal.seconds = time.monotonic() - started
        return self._rehearsal

    def _batches(self, chunk: RunChunk) -> Iterator[list[Finding]]:
        position = chunk.after_number
        while page := self._page(chunk, position):
            position = page[-1].finding_number
            while page:
                size = self._size.findings
                yield page[:size]
                page = page[size:]

    def _page(self, chunk: RunChunk, position: int) -> list[Finding]:
        findings = min(_PAGE, self._limit - self._rehearsal.findings)
        if findings <= 0:
            return []
        return self._database.transact(
            lambda connection: page_of_findings(
                connection, self._stage.plan_id, position, chunk.through_number, findings
            ),
            read_only=True,
        )

    def _write(self, chunk: RunChunk, position: int, items: list[Finding], *, one_by_one: bool = False) -> int:
        """Rehearse the items in one batch, or in several smaller ones where the database wants that."""
        try:
            self._batch(chunk, position, items, one_by_one=one_by_one)
            return items[-1].finding_number
        except BatchRefused:
            one_by_one, few = True, _ONE_BY_ONE_FINDINGS
        except BatchTooLong as late:
            self._size.failed()
            if len(items) == 1:
                refusal = f"it took too long, SQLSTATE {late.sqlstate}"
                self._batch(chunk, position, items, one_by_one=True, refusal=refusal)
                return items[-1].finding_number
            few = (len(items) + 1) // 2
        for start in range(0, len(items), few):
            position = self._write(chunk, position, items[start : start + few], one_by_one=one_by_one)
        return position

    def _batch(
        self, chunk: RunChunk, position: int, items: list[Finding], *, one_by_one: bool, refusal: str | None = None
    ) -> None:
        stage, target = self._stage, self._stage.targets[chunk.leaf_number]
        place = BatchPlace(REHEARSAL_RUN, chunk.run_pass, stage.words, last_pass=True)
        through = items[-1].finding_number
        covered = BatchRange(REHEARSAL_RUN, stage.plan_id, None, chunk, position, through, 0, len(items), 0)
        started = time.monotonic()

        def attempt(connection: Connection) -> tuple[Settlement, RehearsalSession]:
            nonlocal started
            started = time.monotonic()
            judge = ApplyJudge(self._matcher.resolving(resolver_within(stage.job, connection)), target, stage.words)
            batch = Batch(place, target, stage.fingerprints[chunk.leaf_number], judge, rows_of(items))
            with RehearsalSession(connection, target, covered, batch_limits(self._pace)) as session:
                settled = (
                    batch.run(session, one_by_one=one_by_one) if refusal is None else batch.refuse(session, refusal)
                )
                return settled, session

        try:
            settlement, session = self._database.retry(attempt, lambda _: self._size.failed())
        except (BatchDone, BatchGone):
            # The one run that a plan can have is there by now.
            raise _applied(stage.plan_id, "a run that began meanwhile") from None
        if not one_by_one:
            self._size.measured(len(items), max(session.measured.lock_ms, 0.01))
        self._rehearsal.add(settlement, session, items, target)
        # As a run would: its load is as real, and what it took is what a run in one lane is going to take.
        time.sleep(rest_seconds(self._pace, (time.monotonic() - started) * 1000))
