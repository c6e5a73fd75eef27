"""Installing the ledger: once, printed or run, alone or two at a time."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cleanup.db.ledger import migrations
from cleanup.demo.server import Server
from tests.integration.jobs import Job, new_database

CATALOG = {
    "columns": """SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull,
                         attidentity::text, pg_get_expr(adbin, adrelid)
                    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                   WHERE attrelid::regclass::text ~ '^cleanup\\.' AND NOT attisdropped ORDER BY 1, attnum""",
    "constraints": """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
                       WHERE connamespace = 'cleanup'::regnamespace ORDER BY 1, 2""",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'cleanup' ORDER BY 1",
    "functions": """SELECT proname, pg_get_functiondef(oid) FROM pg_proc
                     WHERE pronamespace = 'cleanup'::regnamespace ORDER BY 1""",
    "comments": """SELECT obj_description(oid) FROM pg_class WHERE relnamespace = 'cleanup'::regnamespace
                    ORDER BY relname""",
    "migrations": "SELECT migration_number, name FROM cleanup.migration ORDER BY 1",
}


def catalog(job: Job) -> dict[str, list[tuple[object, ...]]]:
    """Everything the ledger is made of."""
    return {name: job.execute(query) for name, query in CATALOG.items()}


@pytest.fixture
def job(database_dsn: str, tmp_path: Path) -> Job:
    """An empty database."""
    return Job(database_dsn, tmp_path, "")


def test_a_second_init_finds_nothing_to_do(job: Job) -> None:
    assert job.done("init").out.startswith("applied migration 1 ")
    before = (catalog(job), job.checksums())
    assert job.done("init").out == "the ledger is up to date\n"
    assert (catalog(job), job.checksums()) == before


def test_it_answers_as_json_too(job: Job) -> None:
    script = job.done("init", "--sql").out
    assert job.done("init", "--sql", "--format", "json").out == script
    installed = job.done("init", "--format", "json").report
    recorded = job.execute("SELECT migration_number, name FROM cleanup.migration ORDER BY 1")
    assert installed == {
        "applied": [{"number": number, "name": name} for number, name in recorded],
        "moved_here": None,
    }
    assert recorded
    for word in ("recorded", "recorded before"):
        again = job.done("init", "--moved-here", "a restore", "--format", "json").report
        assert again == {"applied": [], "moved_here": word}


def test_the_printed_script_makes_the_same_ledger(server: Server, job: Job) -> None:
    script = job.done("init", "--sql").out
    assert job.checksums() == {}
    job.done("init")
    with new_database(server) as dsn:
        printed = Job(dsn, job.folder, "")
        subprocess.run(
            [server.program("psql"), "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", dsn],
            check=True,
            input=script,
            text=True,
            capture_output=True,
        )
        assert catalog(printed) == catalog(job)
        assert printed.done("init").out == "the ledger is up to date\n"


def test_two_inits_at_once_install_one_ledger(job: Job) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: job.run("init"), range(4)))
    assert [answer.status for answer in answers] == [0] * 4
    assert sorted(answer.out.startswith("applied") for answer in answers) == [False, False, False, True]
    assert job.number("SELECT count(*) FROM cleanup.migration") == len(migrations())


def test_a_publication_of_all_tables_has_to_be_acknowledged(job: Job) -> None:
    job.execute("CREATE TABLE post (id int PRIMARY KEY); CREATE PUBLICATION everything FOR ALL TABLES")
    refused = job.call("init")
    assert (refused.status, refused.codes) == (3, ["CLN-311"])
    assert "everything is FOR ALL TABLES" in refused.err
    assert "--acknowledge-publications" in refused.err
    assert list(job.checksums()) == ["post"]
    job.done("init", "--acknowledge-publications")
    # Once it is there, an upgrade asks no more.
    assert job.done("init").out == "the ledger is up to date\n"


def test_a_publication_of_named_tables_is_none_of_our_business(job: Job) -> None:
    job.execute("CREATE TABLE post (id int PRIMARY KEY); CREATE PUBLICATION certain FOR TABLE post")
    job.done("init")


def test_a_schema_of_that_name_that_is_not_ours_is_left_alone(job: Job) -> None:
    job.execute("CREATE SCHEMA cleanup; CREATE TABLE cleanup.notes (id int); INSERT INTO cleanup.notes VALUES (1)")
    before = job.checksums()
    refused = job.call("init")
    assert refused.status == 5
    assert 'schema "cleanup" already exists' in refused.err
    assert job.checksums() == before
