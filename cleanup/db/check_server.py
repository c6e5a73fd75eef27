"""What the server says of itself: settings, connections, archive, backups."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import args_row

from cleanup.db.connection import Connection
from cleanup.db.queries import statement


@dataclass(frozen=True, slots=True)
class ConnectionRoom:
    """Connections taken and allowed, of the server, the database and the role; a limit of -1 is none."""

    server_limit: int
    server_taken: int
    database_limit: int
    database_taken: int
    role_limit: int
    role_taken: int

    def free(self) -> int:
        """How many more this role can open; our own is taken already."""
        pairs = (
            (self.server_limit, self.server_taken),
            (self.database_limit, self.database_taken),
            (self.role_limit, self.role_taken),
        )
        return min(limit - taken for limit, taken in pairs if limit >= 0)


@dataclass(frozen=True, slots=True)
class Archiver:
    """What became of the WAL that was to be archived."""

    mode: str
    archived: int
    last_archived: datetime | None
    failed: int
    last_failed: datetime | None
    is_failing: bool


@dataclass(frozen=True, slots=True)
class BaseBackup:
    """When the newest base backup ended, as far as the WAL folder can tell."""

    ended_at: datetime | None
    age_seconds: int | None


def settings(connection: Connection, names: Sequence[str]) -> dict[str, str | None]:
    """Settings of this session by name, in their base units; None where the server has no such setting."""
    rows = connection.execute(statement("check_server.settings"), {"names": list(names)}).fetchall()
    return {str(name): None if setting is None else str(setting) for name, setting in rows}


def connection_room(connection: Connection) -> ConnectionRoom:
    """How many connections are left."""
    with connection.cursor(row_factory=args_row(ConnectionRoom)) as cursor:
        row = cursor.execute(statement("check_server.connections")).fetchone()
    assert row is not None
    return row


def archiver(connection: Connection) -> Archiver:
    """The archiver's statistics."""
    with connection.cursor(row_factory=args_row(Archiver)) as cursor:
        row = cursor.execute(statement("check_server.archiver")).fetchone()
    assert row is not None
    return row


def base_backup(connection: Connection) -> BaseBackup:
    """The newest base backup; raises where the role may not look into the WAL folder."""
    with connection.cursor(row_factory=args_row(BaseBackup)) as cursor:
        row = cursor.execute(statement("check_server.base_backup")).fetchone()
    assert row is not None
    return row
