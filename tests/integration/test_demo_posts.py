"""The demo's schema takes the demo's posts."""

import psycopg
import pytest
from psycopg import sql

from cleanup.demo.posts import COLUMNS, generate_rows
from cleanup.resources import sql_directory


@pytest.mark.parametrize("table", COLUMNS)
def test_the_schema_takes_the_posts(database_dsn: str, table: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        connection.execute((sql_directory() / "demo" / "schema.sql").read_bytes())
        names = sql.SQL(", ").join(map(sql.Identifier, COLUMNS[table]))
        into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
        with connection.cursor() as cursor, cursor.copy(into) as copy:
            for row in generate_rows(table, 5_000, 1):
                copy.write_row(row)
        stored = connection.execute(
            sql.SQL("SELECT count(*), min(created_at) FROM {}").format(sql.Identifier(table))
        ).fetchone()
        expected = next(iter(generate_rows(table, 5_000, 1)))
        columns = connection.execute(
            "SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0",
            (table,),
        ).fetchone()
    assert stored == (5_000, expected.created_at)
    assert columns == (list(COLUMNS[table]),)
