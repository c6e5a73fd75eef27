"""Where in the WAL a run begins and ends: recorded, shown, and good to recover a server to."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest

from cleanup.demo.server import Server
from tests.faults.jobs import wait_for
from tests.faults.said import events
from tests.integration.jobs import LINK, POLICY, Job, new_database
from tests.plugins.servers import binaries_of

CONFIG: Final = f"""
policy = "{POLICY}"
[[table]]
name = "public.note"
created_at = "created_at"
columns = {{ body = "text" }}
[pace]
lanes = 1
"""
POSTS: Final = f"""
CREATE TABLE note (id bigint PRIMARY KEY, created_at timestamptz, body text);
INSERT INTO note SELECT n, '2021-01-01', 'see {LINK} ' || n FROM generate_series(1, 20) AS n
"""
MARKS: Final = "SELECT moment, restore_point, note FROM cleanup.wal_mark WHERE run_id = %s ORDER BY lsn"


def ready(dsn: str, folder: Path) -> Job:
    job = Job(dsn, folder, CONFIG)
    job.execute(POSTS)
    job.done("init")
    return job


def test_each_run_has_a_restore_point_at_both_ends_and_shows_them(database_dsn: str, tmp_path: Path) -> None:
    job = ready(database_dsn, tmp_path)
    plan = job.plan()
    job.approve(plan)
    applied = job.run("apply", plan.number("plan_id"), "--format", "json")
    assert applied.status == 0, applied.err
    assert job.execute(MARKS, 1) == [("start", "cleanup_run_1_start", None), ("end", "cleanup_run_1_end", None)]
    ((first, last),) = job.execute(
        "SELECT min(lsn) < max(lsn), max(lsn) <= pg_current_wal_insert_lsn() FROM cleanup.wal_mark"
    )
    assert first
    assert last
    lsns = [str(lsn) for (lsn,) in job.execute("SELECT lsn::text FROM cleanup.wal_mark ORDER BY lsn")]
    said = [event for event in events(applied.err) if event["event"] == "run.marked"]
    assert [(event["moment"], event["lsn"], event["restore_point"]) for event in said] == [
        ("start", lsns[0], "cleanup_run_1_start"),
        ("end", lsns[1], "cleanup_run_1_end"),
    ]
    shown = json.loads(applied.out)["wal_marks"]
    assert [(mark["moment"], mark["lsn"], mark["restore_point"], mark["note"]) for mark in shown] == [
        ("start", lsns[0], "cleanup_run_1_start", None),
        ("end", lsns[1], "cleanup_run_1_end", None),
    ]
    for words in (("status", 1), ("report", "--run", 1)):
        text = job.done(*words).out
        assert f"  start in the WAL {lsns[0]}, restore point cleanup_run_1_start\n" in text
        assert f"  end in the WAL {lsns[1]}, restore point cleanup_run_1_end\n" in text
    job.done("report", "--run", 1, "--html", "run.html")
    page = (job.folder / "run.html").read_text(encoding="utf-8")
    assert all(name in page for name in (*lsns, "cleanup_run_1_start", "cleanup_run_1_end"))
    # An open run has a start and no end yet; a rollback has its own.
    job.done("rollback", 1)
    assert [moment for moment, *_ in job.execute(MARKS, 2)] == ["start", "end"]
    assert job.execute("SELECT count(*)::int FROM cleanup.wal_mark") == [(4,)]


def test_a_run_that_is_resumed_is_marked_once(database_dsn: str, tmp_path: Path) -> None:
    job = ready(database_dsn, tmp_path)
    plan = job.plan()
    job.approve(plan)
    job.done("apply", 1, "--canary", 5, status=4)
    assert job.execute(MARKS, 1) == [("start", "cleanup_run_1_start", None)]
    assert "end in the WAL" not in job.done("status", 1).out
    job.done("apply", 1)
    assert [moment for moment, *_ in job.execute(MARKS, 1)] == ["start", "end"]


def test_who_may_make_no_restore_point_has_the_lsn_and_the_reason(server: Server, tmp_path: Path) -> None:
    with new_database(server) as dsn:
        job = ready(dsn, tmp_path)
        job.execute("DO $$ BEGIN CREATE ROLE test_unmarked; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        for grant in (
            "USAGE ON SCHEMA cleanup",
            "SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA cleanup",
            "EXECUTE ON ALL FUNCTIONS IN SCHEMA cleanup",
            "SELECT, UPDATE (body) ON note",
        ):
            job.execute(f"GRANT {grant} TO test_unmarked")
        # Else its signals could not be read, and it would wait.
        job.execute("GRANT pg_monitor TO test_unmarked")
        plan = job.plan()
        job.approve(plan)
        applied = job.run("apply", 1, "--format", "json", dsn=f"{dsn} options='-c role=test_unmarked'")
        job.execute("DROP OWNED BY test_unmarked")
        job.execute("DROP ROLE test_unmarked")
        assert applied.status == 0, applied.err
        why = "test_unmarked may not execute pg_create_restore_point"
        assert job.execute(MARKS, 1) == [("start", None, why), ("end", None, why)]
        ((ordered,),) = job.execute("SELECT min(lsn) < max(lsn) FROM cleanup.wal_mark")
        assert ordered
        assert f", no restore point: {why}\n" in job.done("status", 1).out
        job.done("report", "--run", 1, "--html", "run.html")
        assert why in (job.folder / "run.html").read_text(encoding="utf-8")
        assert [event["note"] for event in events(applied.err) if event["event"] == "run.marked"] == [why] * 2


def test_a_server_that_keeps_too_little_wal_has_the_lsn_alone(own_server: Server, tmp_path: Path) -> None:
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET wal_level = minimal")
        connection.execute("ALTER SYSTEM SET max_wal_senders = 0")
    own_server.restart()
    job = ready(own_server.dsn(), tmp_path)
    job.apply(job.plan())
    assert job.execute(MARKS, 1) == [(moment, None, "wal_level is minimal") for moment in ("start", "end")]


@contextmanager
def to_be_recovered(primary: Server, major: int) -> Iterator[tuple[Server, Path]]:
    """A copy of a server as it is now, stopped, with nothing of what comes."""
    with Server.start(binaries_of(major)) as copy:
        copy.stop()
        data = copy.folder / "data"
        owner = data.stat()
        shutil.rmtree(data)
        words = ["--pgdata", str(data), "--dbname", primary.dsn(), "--checkpoint", "fast", "--wal-method", "none"]
        subprocess.run([primary.program("pg_basebackup"), *words], check=True, capture_output=True)
        for path in (data, *data.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
        yield copy, data


@pytest.mark.parametrize(
    ("point", "links", "runs"),
    [("cleanup_run_1_start", 20, []), ("cleanup_run_1_end", 0, [("running",)])],
)
def test_a_server_is_recovered_to_either_end_of_a_run(
    own_server: Server, major: int, tmp_path: Path, point: str, links: int, runs: list[tuple[str]]
) -> None:
    job = ready(own_server.dsn(), tmp_path)
    # In the place of an archive.
    job.execute("ALTER SYSTEM SET wal_keep_size = '1GB'")
    job.execute("SELECT pg_reload_conf()")
    plan = job.plan()
    job.approve(plan)
    with to_be_recovered(own_server, major) as (copy, data):
        job.done("apply", 1)
        with (data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.write(f"unix_socket_directories = '{copy.host}'\n")
            file.write(f"restore_command = 'cp {own_server.folder}/data/pg_wal/%f %p'\n")
            file.write(f"recovery_target_name = '{point}'\nrecovery_target_action = 'promote'\n")
        (data / "recovery.signal").touch()
        os.chown(data / "recovery.signal", data.stat().st_uid, data.stat().st_gid)
        copy.restart()
        recovered = Job(copy.dsn(), tmp_path, CONFIG)
        wait_for("the end of recovery", lambda: recovered.execute("SELECT pg_is_in_recovery()") == [(False,)])
        assert recovered.number("SELECT count(*)::int FROM note WHERE body LIKE %s", f"%{LINK}%") == links
        assert recovered.execute("SELECT state FROM cleanup.run") == runs
        # The same command as before: it applies all of it, or has only to close the run.
        run = recovered.done("apply", 1, "--format", "json")
        assert recovered.number("SELECT count(*)::int FROM note WHERE body LIKE %s", f"%{LINK}%") == 0
        recovered.verify(run)
