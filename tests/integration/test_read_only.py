"""Verbs that look: they change nothing, and a role that may only read can run them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import conninfo

from cleanup.demo.server import Server
from tests.integration.jobs import LINK, POLICY, Answer, Job, new_database, new_folder

SCHEMA = """
CREATE TABLE post (id bigint PRIMARY KEY, created_at timestamptz NOT NULL, body text);
INSERT INTO post SELECT n, '2020-05-01', 'https://item.taobao.com/item.htm?id=' || n FROM generate_series(1, 30) AS n;
CREATE ROLE {role} LOGIN;
"""
GRANTS = """
GRANT USAGE ON SCHEMA cleanup TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA cleanup, public TO {role};
"""
CONFIG = f"""
policy = "{POLICY}"
[[table]]
name = "public.post"
created_at = "created_at"
columns = {{ body = "text" }}
[pace]
lanes = 1
"""


@pytest.fixture(scope="module")
def site(server: Server) -> Iterator[tuple[Job, str]]:
    """A plan, its run, something unplanned, and a role that may read all of it."""
    with new_database(server) as dsn, new_folder() as folder:
        job = Job(dsn, folder, CONFIG)
        role = f"reader_{conninfo.conninfo_to_dict(dsn)['dbname']}"
        job.execute(SCHEMA.format(role=role))
        job.done("init")
        job.apply(job.plan())
        job.execute("INSERT INTO post VALUES (100, '2020-05-01', %s)", LINK)
        job.execute(GRANTS.format(role=role))
        yield job, role
        job.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


LOOKS = {
    "status": 0,
    "status 1": 0,
    "status --format json": 0,
    "status --plan 1": 0,
    "report 1": 0,
    "report --run 1": 0,
    "report 1 --format json": 0,
    "log 1": 0,
    "log 1 --format csv": 0,
    "log 1 --changed-keys": 0,
    "review 1": 0,
    "verify": 1,
    "verify 1": 1,
}


@pytest.mark.parametrize("words", LOOKS)
def test_verbs_that_look_change_nothing_and_need_no_more_than_to_read(site: tuple[Job, str], words: str) -> None:
    job, role = site
    reader = Job(conninfo.make_conninfo(job.dsn, user=role), job.folder, CONFIG)
    before = job.checksums()
    answer = reader.call(*words.split())
    assert (answer.status, answer.codes) == (LOOKS[words], []), answer.err
    assert answer.out == job.call(*words.split()).out
    assert job.checksums() == before


@pytest.mark.parametrize("words", ["plan", "apply 1", "rollback 1"])
def test_a_role_that_may_only_read_is_told_what_it_lacks(site: tuple[Job, str], words: str) -> None:
    job, role = site
    reader = Job(conninfo.make_conninfo(job.dsn, user=role), job.folder, CONFIG)
    before = job.checksums()
    answer = reader.call(*words.split())
    if words == "apply 1":
        assert answer.codes == ["CLN-108"]
    else:
        assert (answer.status, answer.codes) == (3, ["CLN-312"]), answer.err
        assert "permission denied" in answer.err
    assert job.checksums() == before


def test_a_role_that_sees_nothing_of_the_ledger_is_told_so(server: Server, tmp_path: Path) -> None:
    with new_database(server) as dsn:
        job = Job(dsn, tmp_path, CONFIG)
        job.done("init")
        role = f"stranger_{conninfo.conninfo_to_dict(dsn)['dbname']}"
        job.execute(f"CREATE ROLE {role} LOGIN")
        try:
            answer = Job(conninfo.make_conninfo(dsn, user=role), tmp_path, CONFIG).call("status")
        finally:
            job.execute(f"DROP ROLE {role}")
    assert (answer.status, answer.codes) == (3, ["CLN-312"]), answer.err


def test_rows_that_row_security_would_hide_are_not_taken_for_none(site: tuple[Job, str]) -> None:
    job, role = site
    reader = Job(conninfo.make_conninfo(job.dsn, user=role), job.folder, CONFIG)
    job.execute("ALTER TABLE post ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON post USING (id < 3)")
    try:
        answer = reader.call("verify")
    finally:
        job.execute("DROP POLICY few ON post; ALTER TABLE post DISABLE ROW LEVEL SECURITY")
    assert (answer.status, answer.codes) == (3, ["CLN-312"]), answer.err
    assert "row-level security" in answer.err


def test_explain_needs_no_database(site: tuple[Job, str]) -> None:
    job, _ = site
    (job.folder / "text.txt").write_text(f"看 {LINK} 吧", encoding="utf-8")
    answer: Answer = job.run("explain", "text.txt", PGHOST="/nowhere")
    assert answer.status == 0
    assert "taobao product: redact" in answer.out
