"""What a rollback would do, value by value, without doing it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from cleanup.db.change_log import LogRow, selected_log
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.ledger import require_ledger
from cleanup.db.posts import present_rows
from cleanup.db.selection import Selection
from cleanup.engine.conflicts import ConflictCase, cases_of
from cleanup.engine.job import Job
from cleanup.engine.rollback_source import Source, SourceLog, open_source
from cleanup.engine.verdicts import Outcome
from cleanup.links.words import Words

APPLICATION_NAME: Final = "cleanup rollback --dry-run"
_PAGE: Final = 1_000
_NO_END: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class RollbackPreview:
    """What a rollback of that part of the run would come to, as the posts are now; `links` by their outcome."""

    source_run_id: int
    selection: dict[str, object]
    digest: str
    log_head: str | None
    values: int
    outcomes: dict[str, int]
    links: dict[str, int]
    conflicts: tuple[ConflictCase, ...]

    @property
    def leaves_work(self) -> bool:
        """Whether some links could not go back."""
        return bool(self.links.get(Outcome.CONFLICT.value))


@dataclass(slots=True)
class _Tally:
    values: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    links: Counter[str] = field(default_factory=Counter)
    conflicts: list[ConflictCase] = field(default_factory=list)

    def add(self, other: "_Tally", conflicts_kept: int) -> None:
        self.values += other.values
        self.outcomes.update(other.outcomes)
        self.links.update(other.links)
        self.conflicts += other.conflicts[: max(0, conflicts_kept - len(self.conflicts))]


def preview_rollback(job: Job, run_id: int, selection: Selection, conflicts_kept: int) -> RollbackPreview:
    """Judge every selected value as it is now; keep the first conflicts for a person to read. Writes nothing.

    Raises what a rollback itself would raise.
    """
    database = Database(job.dsn, APPLICATION_NAME)
    try:
        source = database.transact(lambda connection: _open(connection, job, run_id, selection), read_only=True)
        preview = _Preview(database, source)
        tally = _Tally()
        while page := preview.next_page():
            tally.add(page, conflicts_kept)
    finally:
        database.close()
    return RollbackPreview(
        source_run_id=run_id,
        selection=selection.stored(),
        digest=source.digest.hex(),
        log_head=source.run.log_head.hex() if source.run.log_head else None,
        values=tally.values,
        outcomes=dict(tally.outcomes),
        links=dict(tally.links),
        conflicts=tuple(tally.conflicts),
    )


def _open(connection: Connection, job: Job, run_id: int, selection: Selection) -> Source:
    require_ledger(connection)
    return open_source(connection, job, run_id, selection)


class _Preview:
    """Pages through the selected log, each page in a short transaction of its own."""

    def __init__(self, database: Database, source: Source) -> None:
        self._database = database
        self._source = source
        self._words = Words(source.plan.words)
        self._items = SourceLog(source.run.run_id, source.plan.plan_id, self._words, source.selection)
        self._position = -1

    def next_page(self) -> _Tally | None:
        """What the next values would come to; None behind the last of them."""
        position, tally = self._database.transact(self._read_and_judge, read_only=True)
        self._position = position
        return tally

    def _read_and_judge(self, connection: Connection) -> tuple[int, _Tally | None]:
        rows = selected_log(connection, self._source.run.run_id, self._source.selection, self._position, _NO_END, _PAGE)
        if not rows:
            return self._position, None
        tally = _Tally()
        for leaf_number, group in groupby(rows, key=lambda row: row.leaf_number):
            self._judge(connection, leaf_number, list(group), tally)
        return rows[-1].finding_number, tally

    def _judge(self, connection: Connection, leaf_number: int, rows: Sequence[LogRow], tally: _Tally) -> None:
        target = self._source.targets[leaf_number]
        present = present_rows(connection, target, [row.key for row in rows])
        judge = self._items.judge_for(connection, target, rows)
        for row in rows:
            tally.values += 1
            found = present.get(row.key)
            if found is None:
                tally.outcomes[Outcome.ROW_GONE.value] += 1
                tally.links[Outcome.ROW_GONE.value] += judge.span_count(row)
                continue
            verdict = judge.judge(row, found)
            tally.outcomes[verdict.outcome.value] += 1
            tally.links.update(verdict.spans)
            tally.conflicts += cases_of(target, row, verdict.conflicts, found.texts[row.column_number], self._words)
