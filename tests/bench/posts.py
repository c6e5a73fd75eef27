"""The bench's table: the demo's generated notes, which are the same on every machine."""

from typing import Final

import psycopg

from cleanup.demo.posts import COLUMNS, generate_rows

SEED: Final = 20210802
SCHEMA: Final = """
CREATE TABLE note (
    id          bigint       PRIMARY KEY,
    author_id   bigint       NOT NULL,
    created_at  timestamptz  NOT NULL,
    is_live     boolean      NOT NULL,
    title       varchar(200) NOT NULL,
    body        text         NOT NULL
);
CREATE TABLE nothing (LIKE note INCLUDING ALL);
"""


def load_posts(dsn: str, rows: int) -> None:
    """Fill the table; about 4 % of the rows have links of ours, and as many have links of others."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(SCHEMA)
        columns = ", ".join(COLUMNS["note"])
        with connection.cursor().copy(f"COPY note ({columns}) FROM STDIN".encode()) as copy:
            for row in generate_rows("note", rows, SEED):
                copy.write_row(row)
        tidy(connection)


def tidy(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """What stands between rounds that dirty the table."""
    connection.execute("VACUUM (ANALYZE) note")
    connection.execute("CHECKPOINT")
