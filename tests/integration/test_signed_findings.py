"""What was signed is hashed twice, by the job and by the server: both have to spell every finding alike."""

from itertools import product
from pathlib import Path

import pytest

from cleanup.db.connection import open_connection, transaction
from cleanup.db.findings import hashes_in_digest_order
from tests.integration.jobs import LINK, POLICY, Job

CONFIG = f"""
policy = "{POLICY}"
[pace]
lanes = 1
[[table]]
name = "public.post"
created_at = "created_at"
undated = "include"
author = "author"
columns = {{ body = "text" }}
"""
# Everything that JSON escapes, or some JSON does, and characters of two UTF-16 units.
HOSTILE = ["", " ", '"', "\\", "/", "\t\n\r\b\f", "\x01\x1f", "\x7f\x80\u2028", "桂花 🌿", "{1,NULL}", "null", "7:x"]
INSTANTS = ["2020-01-01 00:00:00.000001+00", "1969-12-31 23:59:59.999999+00", "0001-01-01 00:00+00",
            "4713-01-01 00:00+00 BC", "-infinity", None]  # fmt: skip


@pytest.fixture
def job(database_dsn: str, tmp_path: Path) -> Job:
    """Posts with a link each, under keys of two texts, by authors with such names, of all times."""
    made = Job(database_dsn, tmp_path, CONFIG)
    made.execute(
        "CREATE TABLE post (a text, b text, created_at timestamptz, author text, body text, PRIMARY KEY (a, b))"
    )
    for number, (first, second) in enumerate(product(HOSTILE, repeat=2)):
        author = [*HOSTILE, None][number % (len(HOSTILE) + 1)]
        created_at = INSTANTS[number % len(INSTANTS)]
        body = f"{first} {LINK} {second}"
        made.execute("INSERT INTO post VALUES (%s, %s, %s, %s, %s)", first, second, created_at, author, body)
    made.done("init")
    return made


def test_the_server_spells_findings_as_the_job_does(job: Job) -> None:
    plan = job.plan()
    with open_connection(job.dsn, "test") as connection, transaction(connection, read_only=True):
        proved = list(hashes_in_digest_order(connection, plan.number("plan_id")))
    assert [place for _, place in proved if place is not None] == []
    assert len({finding_hash for finding_hash, _ in proved}) == len(HOSTILE) ** 2
    job.apply(plan)
    assert job.number("SELECT count(*) FROM cleanup.change_log") == len(HOSTILE) ** 2
