"""Archives of a run's log, as the ledger knows them: where they were put, and what came back from one."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import args_row

from cleanup.db.batches import BatchRow
from cleanup.db.change_log import LogRow
from cleanup.db.connection import Connection
from cleanup.db.keys import spell_key
from cleanup.db.queries import run_statement, statement

_TYPES: Final = (
    "int4",
    "int8",
    "int2",
    "int2",
    "int2",
    "text",
    "text",
    "timestamptz",
    "text",
    "bytea",
    "bytea",
    "bytea",
    "text",
    "bytea",
    "timestamptz",
)


@dataclass(frozen=True, slots=True)
class ExportPlace:
    """Where an export put removed links: host and folder. `sha256` is its manifest's; None where it never ended."""

    place: str
    format: str
    sha256: bytes | None
    exported_at: datetime
    exported_by: str


@dataclass(frozen=True, slots=True)
class Signature:
    """Who the session is, and when, by the server's word."""

    session_user: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Restoration:
    """How a purged log came back."""

    restored_at: datetime
    restored_by: str
    log_rows: int


@dataclass(frozen=True, slots=True)
class SettledBatch(BatchRow):
    """A batch, and what it wrote to the ledger beside log rows: its head is over all of it.

    `unchanged` are findings with outcome and detail, `conflicts` findings with the link's number and the reason.
    """

    unchanged: tuple[tuple[int, str, str | None], ...]
    conflicts: tuple[tuple[int, int, str], ...]
    deferred: tuple[int, ...]

    def __post_init__(self) -> None:
        # Lists, where they come from JSON.
        for name in ("unchanged", "conflicts"):
            object.__setattr__(self, name, tuple(tuple(part) for part in getattr(self, name)))
        object.__setattr__(self, "deferred", tuple(self.deferred))


def page_of_batches(connection: Connection, run_id: int, after: tuple[int, int], batches: int) -> list[SettledBatch]:
    """The next batches of a run in the order of its head; `after` is the pass and number of the last one."""
    parameters = {"run_id": run_id, "pass": after[0], "after_number": after[1], "batches": batches}
    with connection.cursor(row_factory=args_row(SettledBatch)) as cursor:
        return cursor.execute(run_statement("archives.batches", run_id), parameters).fetchall()


def add_export(
    connection: Connection, run_id: int, *, place: str, archive_format: str, sha256: bytes, log_rows: int
) -> None:
    """Record an archive in the open transaction."""
    connection.execute(
        run_statement("archives.add_export", run_id),
        {"run_id": run_id, "place": place, "format": archive_format, "sha256": sha256, "log_rows": log_rows},
    )


def export_places(connection: Connection, run_id: int) -> list[ExportPlace]:
    """Where exports of the run's log were put; only their files themselves know whether they still are."""
    with connection.cursor(row_factory=args_row(ExportPlace)) as cursor:
        return cursor.execute(run_statement("archives.places", run_id), {"run_id": run_id}).fetchall()


def known_export(connection: Connection, run_id: int, sha256: bytes) -> int | None:
    """The number of the export with that manifest, if the ledger has made it."""
    row = connection.execute(run_statement("archives.known", run_id), {"run_id": run_id, "sha256": sha256}).fetchone()
    return int(row[0]) if row else None


def signature(connection: Connection) -> Signature:
    """Who exports, and when."""
    with connection.cursor(row_factory=args_row(Signature)) as cursor:
        found = cursor.execute(statement("archives.signature")).fetchone()
    assert found is not None
    return found


def receive_log(connection: Connection, run_id: int, rows: Iterable[LogRow]) -> int:
    """Give a purged run its log back in the open transaction; return how many rows it has."""
    connection.execute(run_statement("runs.add_log", run_id), {"run_id": run_id})
    received = 0
    with connection.cursor() as cursor, cursor.copy(run_statement("archives.receive", run_id)) as copy:
        copy.set_types(_TYPES)
        for row in rows:
            copy.write_row(_columns(row))
            received += 1
    return received


def add_restoration(connection: Connection, purge_id: int, export_id: int, log_rows: int) -> None:
    """Record in the open transaction that a purged log came back."""
    connection.execute(
        statement("archives.add_restoration"), {"purge_id": purge_id, "export_id": export_id, "log_rows": log_rows}
    )


def restoration_of(connection: Connection, run_id: int) -> Restoration | None:
    """How the run's log came back after its newest purge; None where it was never purged, or is away."""
    with connection.cursor(row_factory=args_row(Restoration)) as cursor:
        return cursor.execute(run_statement("archives.restoration", run_id), {"run_id": run_id}).fetchone()


def _columns(row: LogRow) -> tuple[object, ...]:
    return (
        row.run_id,
        row.finding_number,
        row.run_pass,
        row.leaf_number,
        row.column_number,
        row.outcome,
        spell_key(row.key),
        row.created_at,
        row.author,
        row.hash_before,
        row.hash_after,
        row.salt,
        row.edits,
        row.chain,
        row.logged_at,
    )
