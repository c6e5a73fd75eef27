"""What the change log is proved against: everything else that the batches of a run wrote, and were to write."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from psycopg.rows import args_row
from psycopg.types.json import Jsonb

from cleanup.db.connection import Connection
from cleanup.db.instants import read_any_instant
from cleanup.db.keys import Key, read_key
from cleanup.db.queries import run_statement, statement
from cleanup.db.runs import Run

NO_END: Final = 2**63 - 1
# Higher than any: what comes after it is the next finding.
NO_PASS: Final = 2**15 - 1
_PAGE: Final = 5_000

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """A finding that a batch left unchanged."""

    finding_number: int
    run_pass: int
    outcome: str
    detail: str | None


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """A link that a rollback left as it was."""

    finding_number: int
    link_number: int
    reason: str


@dataclass(frozen=True, slots=True)
class DeferralRow:
    """A finding that the pass before `run_pass` put off to it."""

    finding_number: int
    run_pass: int


@dataclass(frozen=True, slots=True)
class PlannedValue:
    """A value that a batch had to settle, by what the log row must say of its place."""

    finding_number: int
    leaf_number: int
    column_number: int
    key: Key
    created_at: datetime | None
    author: str | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", read_key(self.key))


@dataclass(frozen=True, slots=True)
class ChunkRange:
    """The range of finding numbers that the batches of one chunk cover."""

    chunk_number: int
    after_number: int
    through_number: int


def outcome_rows(
    connection: Connection, run_id: int, after_number: int = -1, through_number: int = NO_END
) -> Iterator[OutcomeRow]:
    """What a run left unchanged within a range, by finding number, read in pages."""

    def page(after: OutcomeRow | None) -> list[OutcomeRow]:
        start = after.finding_number if after else after_number
        return _read(
            connection,
            OutcomeRow,
            "log_proof.outcomes",
            run_id=run_id,
            after_number=start,
            through_number=through_number,
        )

    return _paged(page)


def conflict_rows(connection: Connection, run_id: int) -> Iterator[ConflictRow]:
    """Every link that a rollback left as it was, by finding number, read in pages."""

    def page(after: ConflictRow | None) -> list[ConflictRow]:
        number, link_number = (after.finding_number, after.link_number) if after else (-1, -1)
        return _read(
            connection, ConflictRow, "log_proof.conflicts", run_id=run_id, after_number=number, after_link=link_number
        )

    return _paged(page)


def deferral_rows(
    connection: Connection, run_id: int, after_number: int = -1, through_number: int = NO_END
) -> Iterator[DeferralRow]:
    """What was put off within a range, by finding number, read in pages."""

    def page(after: DeferralRow | None) -> list[DeferralRow]:
        number, run_pass = (after.finding_number, after.run_pass) if after else (after_number, NO_PASS)
        return _read(
            connection,
            DeferralRow,
            "log_proof.deferrals",
            run_id=run_id,
            after_number=number,
            after_pass=run_pass,
            through_number=through_number,
        )

    return _paged(page)


def planned_values(connection: Connection, run: Run, after_number: int, through_number: int) -> Iterator[PlannedValue]:
    """What a run had to settle within a range, read in pages; nothing where that was purged since."""
    name, source = _source_of(run)

    def page(after: PlannedValue | None) -> list[PlannedValue]:
        place = {"after_number": after.finding_number if after else after_number, "through_number": through_number}
        return _read(connection, PlannedValue, name, **source, **place)

    return _paged(page)


def _source_of(run: Run) -> tuple[str, Mapping[str, object]]:
    if run.source_run_id is None:
        return "log_proof.planned_findings", {"plan_id": run.plan_id}
    selection = Jsonb(dict(run.selection or {}))
    return "log_proof.planned_log", {"source_run_id": run.source_run_id, "selection": selection}


def chunk_ranges(connection: Connection, run_id: int) -> list[ChunkRange]:
    """The chunks of a run in order."""
    with connection.cursor(row_factory=args_row(ChunkRange)) as cursor:
        return cursor.execute(run_statement("log_proof.chunks", run_id), {"run_id": run_id}).fetchall()


def recorded_heads(connection: Connection, run_id: int) -> Sequence[str]:
    """The heads that the run's events recorded, in hexadecimal; usually one."""
    return [
        str(row[0]) for row in connection.execute(run_statement("log_proof.recorded_heads", run_id), {"run_id": run_id})
    ]


def _paged(page: Callable[[_Row | None], list[_Row]]) -> Iterator[_Row]:
    last: _Row | None = None
    while found := page(last):
        yield from found
        last = found[-1]


def _read(connection: Connection, kind: type[_Row], name: str, **parameters: object) -> list[_Row]:
    with connection.cursor(row_factory=args_row(kind)) as cursor:
        read_any_instant(cursor)
        return cursor.execute(statement(name), {**parameters, "rows": _PAGE}).fetchall()
