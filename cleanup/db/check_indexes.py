"""The indexes of the configured tables, and which of them a changed text makes work."""

from dataclasses import dataclass
from typing import Final

from psycopg.rows import args_row

from cleanup.db.checks import Posts
from cleanup.db.connection import Connection
from cleanup.db.queries import statement

_SUMMARISING: Final = "brin"
_SUMMARISING_IS_FREE_SINCE: Final = 160000


@dataclass(frozen=True, slots=True)
class Index:
    """One index of one leaf; `written` are the written columns that it depends on, `key_columns` its width."""

    leaf: str
    name: str
    method: str
    is_unique: bool
    is_valid: bool
    pages: int
    written: list[str]
    key_columns: int

    def hinders_hot_update(self, server_version: int) -> bool:
        """Whether a changed text makes every index of the table take a new entry."""
        is_free = self.method == _SUMMARISING and server_version >= _SUMMARISING_IS_FREE_SINCE
        return bool(self.written) and not is_free


def indexes(connection: Connection, posts: Posts) -> list[Index]:
    """Every index of every leaf."""
    with connection.cursor(row_factory=args_row(Index)) as cursor:
        parameters = {"leaves": posts.leaves, "columns": posts.written}
        return cursor.execute(statement("check_indexes.of_leaves"), parameters).fetchall()
