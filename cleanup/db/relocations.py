"""Databases that took the place of the one where plans and runs were made: upgraded, or restored from a copy."""

from psycopg.rows import scalar_row

from cleanup.db.connection import Connection
from cleanup.db.queries import statement


def accept_this_database(connection: Connection, reason: str) -> bool:
    """Record that this database takes the other's place, and why; False where that was said before."""
    return connection.execute(statement("relocations.accept"), {"reason": reason}).fetchone() is not None


def is_home(connection: Connection, plan_id: int) -> bool:
    """Whether a plan was made in this database, or in one whose place it takes by somebody's word."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(statement("relocations.is_home"), {"plan_id": plan_id}).fetchone())
