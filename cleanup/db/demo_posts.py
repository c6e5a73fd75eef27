"""The demo's own database: its posts, its authors, and checksums over its tables."""

from collections.abc import Iterable, Sequence

from psycopg import sql

from cleanup.db.connection import Connection
from cleanup.db.queries import literal_sql, statement
from cleanup.resources import sql_directory


def create_tables(connection: Connection) -> None:
    """Create the demo's tables in an empty database."""
    script = (sql_directory() / "demo" / "schema.sql").read_text(encoding="utf-8")
    connection.execute(sql.SQL("SET LOCAL search_path = public"))
    connection.execute(literal_sql(script))


def load_rows(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Fill one table."""
    receive = statement(
        "demo_posts.receive",
        table=sql.Identifier("public", table),
        columns=sql.SQL(", ").join(sql.Identifier(column) for column in columns),
    )
    with connection.cursor() as cursor, cursor.copy(receive) as copy:
        for row in rows:
            copy.write_row(row)


def checksum(connection: Connection, table: str) -> tuple[int, str]:
    """Row count and checksum of one table."""
    query = statement("demo_posts.checksum", table=sql.Identifier("public", table))
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0]), str(row[1])


def let_authors_write(connection: Connection) -> None:
    """Two authors come between plan and apply: one edits a planned post, one adds a link to another."""
    connection.execute(statement("demo_posts.author_edits"))
    connection.execute(statement("demo_posts.author_adds"))
