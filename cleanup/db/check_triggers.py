"""The triggers that a changed row would fire, with the source of what they call."""

from dataclasses import dataclass

from psycopg.rows import args_row

from cleanup.db.checks import Posts
from cleanup.db.connection import Connection
from cleanup.db.queries import statement


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger: on that leaf, and on so many leaves in all.

    `enabled` is the catalog's letter: O as usual, A always, R under session_replication_role = replica alone.
    """

    name: str
    leaf: str
    leaves: int
    enabled: str
    is_before: bool
    is_for_each_row: bool
    has_condition: bool
    function: str
    language: str
    source: str
    arguments: str
    has_search_path: bool


def firing_triggers(connection: Connection, posts: Posts) -> list[Trigger]:
    """Triggers that an UPDATE of the configured columns can fire."""
    with connection.cursor(row_factory=args_row(Trigger)) as cursor:
        parameters = {"leaves": posts.leaves, "columns": posts.written}
        return cursor.execute(statement("check_triggers.firing"), parameters).fetchall()


def replication_role(connection: Connection) -> tuple[str, bool]:
    """The session's session_replication_role, and whether the role may set it."""
    row = connection.execute(statement("check_triggers.replication_role")).fetchone()
    assert row is not None
    return str(row[0]), bool(row[1])
