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
