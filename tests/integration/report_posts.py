"""Posts of every table, platform, kind and format, some of them hostile, for what a report says of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from cleanup.demo.server import Server
from tests.integration import five_tables
from tests.integration.jobs import LINK, Job, new_database, new_folder

# Nobody's name: what a page, a terminal or a spreadsheet could be made to do by a post.
SCRIPT: Final = "<script>document.title='owned';alert(1)</script>"
IMAGE: Final = "<img src=http://127.0.0.1:9/x onerror=alert(2)>"
ATTRIBUTE: Final = "\"'><svg onload=alert(3)></textarea></details></body></html>"
FORMULA: Final = "=cmd|' /C calc'!A0"
ESCAPE: Final = "\x1b[31mred\x1b[0m\x07\r"
REVERSED: Final = "\u202egnp.exe\u2066\u200b"
HOSTILE: Final = (SCRIPT, IMAGE, ATTRIBUTE, FORMULA, ESCAPE, REVERSED)
_MANY: Final = 500_000
_MEMO: Final = """
[[table]]
name = "public.memo"
created_at = "created_at"
columns = { card = "json" }
"""


def add_hostile(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    """One note for each hostile text, beside a link, and one of 1 MB on either side of it."""
    texts = [f"{hostile} {LINK} {hostile}" for hostile in HOSTILE]
    texts.append("长" * _MANY + f" {LINK} " + "\u202e" * _MANY)
    for number, text in enumerate(texts):
        connection.execute(
            "INSERT INTO note (id, author_id, created_at, is_live, title, body)"
            " VALUES (%s, 666, '2020-05-05', false, %s, %s)",
            (9_000_000 + number, f"{LINK}{number} {HOSTILE[number % len(HOSTILE)]}"[:190], text),
        )
    # What is no JSON can not be changed, and is refused in advance.
    connection.execute("CREATE TABLE memo (id bigint PRIMARY KEY, created_at timestamptz, card text)")
    connection.execute("INSERT INTO memo VALUES (1, '2020-05-05', %s), (2, '2020-05-06', %s)", (f"{{{LINK}", "[]"))


@contextmanager
def planned(server: Server, collation: str, rows: int) -> Iterator[Job]:
    """A database with six tables of posts and a finished plan."""
    with new_database(server) as dsn, new_folder() as folder:
        with psycopg.connect(dsn) as connection:
            five_tables.create(connection, collation, rows)
            add_hostile(connection)
        job = Job(dsn, folder, five_tables.TABLES + _MEMO)
        job.done("init")
        job.plan()
        yield job
