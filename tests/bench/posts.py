"""The bench's table: the demo's generated notes, a little longer, and the same on every machine."""

from typing import Final

import psycopg

from cleanup.demo import phrases
from cleanup.demo.posts import COLUMNS, Note, generate_rows

SEED: Final = 20210802
# Every other note ends with it: so title and body have about 930 bytes, and not 812.
_ENDING: Final = "\n" + "".join(phrases.SENTENCES[4:7])
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
            for note in generate_rows("note", rows, SEED):
                assert isinstance(note, Note)
                copy.write_row(note if note.id % 2 else note._replace(body=note.body + _ENDING))
        tidy(connection)


def tidy(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """What stands between rounds that dirty the table."""
    connection.execute("VACUUM (ANALYZE) note")
    connection.execute("CHECKPOINT")
