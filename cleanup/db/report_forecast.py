"""What a forecast starts from: sizes of the posts' tables, settings of the server, a rehearsal, an earlier run."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import args_row

from cleanup.db.connection import Connection
from cleanup.db.queries import statement
from cleanup.event_catalogue import Event


@dataclass(frozen=True, slots=True)
class LeafSize:
    """One leaf: what the plan would change in it, how large it is, and what its changes add to the log."""

    leaf: str
    rows_to_change: int
    values_to_change: int
    log_bytes: int
    bytes: int
    rows: int
    indexes: int
    index_bytes: int


@dataclass(frozen=True, slots=True)
class ServerWal:
    """The settings that decide how much WAL a change costs."""

    page_bytes: int
    full_page_writes: bool
    checkpoint_timeout: str


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """What the newest finished run took, and its log's size on disk (0 where it was purged)."""

    run_id: int
    findings: int
    seconds: float
    log_rows: int
    log_bytes: int


@dataclass(frozen=True, slots=True)
class EarlierRehearsal:
    """What a rehearsal of the plan measured; `wal_bytes` is the server's, whoever wrote it, page images included."""

    findings: int
    seconds: float
    wal_bytes: int
    lanes: int
    finished_at: datetime


def leaf_sizes(connection: Connection, plan_id: int, log_row_bytes: int, log_link_bytes: int) -> tuple[LeafSize, ...]:
    """Every leaf of a plan; the log is reckoned at so many bytes a row and a link, and the texts that it keeps."""
    parameters = {"plan_id": plan_id, "log_row_bytes": log_row_bytes, "log_link_bytes": log_link_bytes}
    with connection.cursor(row_factory=args_row(LeafSize)) as cursor:
        return tuple(cursor.execute(statement("report_forecast.relations"), parameters))


def server_wal(connection: Connection) -> ServerWal:
    """The server's settings."""
    with connection.cursor(row_factory=args_row(ServerWal)) as cursor:
        settings = cursor.execute(statement("report_forecast.server")).fetchone()
    assert settings is not None
    return settings


def earlier_run(connection: Connection) -> EarlierRun | None:
    """The newest finished run of this ledger that has more than one batch."""
    with connection.cursor(row_factory=args_row(EarlierRun)) as cursor:
        return cursor.execute(statement("report_forecast.earlier_run")).fetchone()


def earlier_rehearsal(connection: Connection, plan_id: int) -> EarlierRehearsal | None:
    """The plan's rehearsal that went furthest; the newest of several."""
    parameters = {"plan_id": plan_id, "event": Event.REHEARSAL_FINISHED.value.name}
    with connection.cursor(row_factory=args_row(EarlierRehearsal)) as cursor:
        return cursor.execute(statement("report_forecast.rehearsal"), parameters).fetchone()
