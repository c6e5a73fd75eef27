"""Where else texts of the posts may be: views that keep them, tables like copies, samples of any table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql
from psycopg.rows import args_row

from cleanup.db.checks import Posts
from cleanup.db.connection import Connection
from cleanup.db.queries import statement

# So many characters of each value are looked at, which bounds what a sample takes from the server.
LOOKED_AT: Final = 10_000
_ROWS_A_PAGE: Final = 20
_WHOLE_PERCENT: Final = 100.0


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table with text, JSON or arrays of them: the columns that the role may read, those it may not, and all."""

    oid: int
    schema: str
    name: str
    pages: int
    may_enter: bool
    text_columns: list[str] | None
    closed_columns: list[str] | None
    columns: list[str]

    @property
    def full_name(self) -> str:
        """schema.table, as the config has it."""
        return f"{self.schema}.{self.name}"

    def readable(self) -> list[str]:
        """The text columns that this role may read."""
        return list(self.text_columns or []) if self.may_enter else []

    def unreadable(self) -> list[str]:
        """The text columns that it may not."""
        closed = list(self.closed_columns or [])
        return closed if self.may_enter else [*(self.text_columns or []), *closed]


def materialized_views(connection: Connection, posts: Posts) -> list[str]:
    """Materialized views that keep a written column of the posts."""
    parameters = {"relations": list(posts.relations), "columns": posts.written}
    return [
        str(name) for (name,) in connection.execute(statement("check_copies.materialized_views"), parameters).fetchall()
    ]


def tables_with_text(connection: Connection) -> list[TextTable]:
    """Every table of the database that could hold a link."""
    with connection.cursor(row_factory=args_row(TextTable)) as cursor:
        return cursor.execute(statement("check_copies.tables_with_text")).fetchall()


def sample_texts(
    connection: Connection, table: TextTable, columns: Sequence[str], rows: int
) -> list[tuple[str | None, ...]]:
    """The beginnings of these columns' values in some rows, spread over the table's pages."""
    texts = sql.SQL(", ").join(
        sql.SQL("left({}::text, {})").format(sql.Identifier("t", column), sql.Literal(LOOKED_AT)) for column in columns
    )
    # Twice as many pages as needed, since pages may be half empty; LIMIT ends the reading.
    percent = min(_WHOLE_PERCENT, _WHOLE_PERCENT * 2 * rows / _ROWS_A_PAGE / max(table.pages, 1))
    # No parameters: a percent sign in a column's name would be taken for one.
    query = statement(
        "check_copies.sample",
        texts=texts,
        table=sql.Identifier(table.schema, table.name),
        percent=sql.Literal(percent),
        rows=sql.Literal(rows),
    )
    return connection.execute(query).fetchall()


def rows_estimate(connection: Connection, oid: int) -> int:
    """How many rows the statistics give a table; 0 where it was never analysed."""
    row = connection.execute(statement("check_copies.rows_estimate"), {"oid": oid}).fetchone()
    return int(row[0]) if row else 0
