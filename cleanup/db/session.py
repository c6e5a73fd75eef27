"""What the session itself can say."""

from datetime import datetime

from cleanup.db.connection import Connection
from cleanup.db.queries import statement


def server_clock(connection: Connection) -> datetime:
    """The server's time, which alone decides whether the cutover has come."""
    row = connection.execute(statement("session.server_clock")).fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def is_standby(connection: Connection) -> bool:
    """Whether the server replays another one's WAL, and so can not be written."""
    row = connection.execute(statement("session.standby")).fetchone()
    return bool(row and row[0])


def has_replayed(connection: Connection, lsn: str) -> bool | None:
    """Whether a standby has replayed its primary's WAL up to there; None where the server is no standby."""
    row = connection.execute(statement("session.has_replayed"), {"lsn": lsn}).fetchone()
    return None if row is None or row[0] is None else bool(row[0])
