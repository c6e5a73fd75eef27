"""Saying where in the WAL a run begins and ends."""

from cleanup.db.connection import Connection
from cleanup.db.wal_marks import wal_marks
from cleanup.event_catalogue import Event
from cleanup.log import tell


def tell_mark(connection: Connection, run_id: int) -> None:
    """Log the newest mark of a run."""
    for mark in wal_marks(connection, run_id)[-1:]:
        found = {"restore_point": mark.restore_point, "note": mark.note}
        named = {name: value for name, value in found.items() if value is not None}
        tell(Event.RUN_MARKED, run=run_id, moment=mark.moment, lsn=mark.lsn, **named)
