"""What every check needs: a question whose refusal is an answer too, and the relations that hold the posts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import psycopg

from cleanup.db.connection import Connection
from cleanup.db.queries import statement
from cleanup.db.retry import is_transient
from cleanup.db.tables import Table

_Answer = TypeVar("_Answer")
_STOPPED: Final = "57014"
_LOCKED: Final = "55P03"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The server would not answer: its SQLSTATE says why."""

    sqlstate: str

    @property
    def is_locked(self) -> bool:
        """Whether somebody holds a lock in the way."""
        return self.sqlstate == _LOCKED


@dataclass(frozen=True, slots=True)
class Posts:
    """One configured table with everything below it: `relations` are the table itself and all its partitions.

    Rows are read and written in the leaves alone; what hangs on the table as a whole hangs on `root`.
    """

    table: Table
    root: int
    relations: tuple[int, ...]

    @property
    def leaves(self) -> list[int]:
        """The relations that hold rows."""
        return [leaf.oid for leaf in self.table.leaves]

    @property
    def written(self) -> list[str]:
        """The columns that a batch may write."""
        return [column.name for column in self.table.columns]

    @property
    def read(self) -> list[str]:
        """Every column that a scan reads by its name; predicates have others."""
        names = [*self.table.key_names(), self.table.created_at, *self.written]
        return [*names, self.table.author] if self.table.author else names


def attempt(connection: Connection, question: Callable[[], _Answer]) -> _Answer | Unreadable:
    """Ask within a savepoint: a server that refuses to answer spoils no other check."""
    try:
        with connection.transaction():
            return question()
    except psycopg.Error as error:
        # A lock that somebody holds, or a question that takes too long, says something itself.
        if is_transient(error) and error.sqlstate not in (_STOPPED, _LOCKED):
            raise
        return Unreadable(error.sqlstate or "")


def posts_of(connection: Connection, table: Table) -> Posts:
    """A described table with its partitions of every level."""
    schema, _, name = table.name.partition(".")
    row = connection.execute(statement("catalog.table"), {"schema": schema, "name": name}).fetchone()
    assert row is not None
    root = int(row[0])
    relations = connection.execute(statement("checks.relations"), {"oid": root}).fetchall()
    return Posts(table, root, tuple(int(oid) for (oid,) in relations))
