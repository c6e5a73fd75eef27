"""Where in the WAL a run begins and ends, for whoever recovers the server to that point."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import args_row

from cleanup.db.connection import Connection
from cleanup.db.queries import run_statement


@dataclass(frozen=True, slots=True)
class WalMark:
    """One end of a run: `moment` is start or end; where there is no restore point, `note` says why."""

    moment: str
    lsn: str
    restore_point: str | None
    note: str | None
    marked_at: datetime


def mark_start(connection: Connection, run_id: int) -> None:
    """Mark where a run begins, in the transaction that creates it; never fails for want of a restore point."""
    connection.execute(run_statement("wal_marks.mark_start", run_id), {"run_id": run_id})


def wal_marks(connection: Connection, run_id: int) -> tuple[WalMark, ...]:
    """The start of a run, and its end where it has one."""
    with connection.cursor(row_factory=args_row(WalMark)) as cursor:
        return tuple(cursor.execute(run_statement("wal_marks.of_run", run_id), {"run_id": run_id}).fetchall())
