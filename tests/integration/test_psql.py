"""The ledger by psql alone: reports, wishes, and a whole rollback, beside the program and in its place."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest

from cleanup.demo.server import Server
from cleanup.engine.verdicts import Outcome
from cleanup.links.logged_edits import decode_edits, encode_edits
from cleanup.links.words import Words
from cleanup.resources import sql_directory
from tests.faults.jobs import Process, wait_for
from tests.integration.jobs import LINK, PLACEHOLDER, POLICY, Answer, Job, new_database, new_folder

REPORTS: Final = sorted((sql_directory() / "reports").glob("*.sql"))
COLUMNS: Final = ("title", "body", "card", "extra", "shop")
ROWS: Final = 40
HELD: Final = 21
GATE: Final = 4711

CONFIG: Final = f"""
policy = "{POLICY}"
[[table]]
name = "public.note"
triggers = "fire"
created_at = "created_at"
author = "author_id"
[table.columns]
title = "text"
body = "text"
card = "json"
extra = "json"
shop = {{ format = "url", on_redact = "null" }}
[pace]
lanes = 1
chunk_rows = 15
batch_rows_max = 10
"""
SCHEMA: Final = """
CREATE TABLE note (
    id bigint PRIMARY KEY, created_at timestamptz, author_id bigint, title varchar(300), body text, card json,
    extra jsonb, shop text
);
-- Stops whoever writes that row while somebody holds the gate.
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(4711); RETURN NEW; END $$;
CREATE TRIGGER gate BEFORE UPDATE ON note FOR EACH ROW WHEN (NEW.id = 21) EXECUTE FUNCTION gate();
"""

Row = tuple[object, ...]


class Site:
    """One database with posts, the program, and psql."""

    def __init__(self, job: Job, server: Server) -> None:
        self.job = job
        self._words = [server.program("psql"), "-X", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"]

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*self._words, "--dbname", self.job.dsn, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def psql(self, *words: str, status: int = 0) -> str:
        """What psql printed, and what the server said beside it."""
        process = self.start(*words)
        out, said = process.communicate(timeout=60)
        assert process.returncode == status, out + said
        return out + said

    def call(self, what: str) -> str:
        return self.psql("-c", f"CALL cleanup.{what}")

    def refused(self, what: str) -> str:
        """The SQLSTATE of a call that the ledger refuses."""
        said = self.psql("-c", f"CALL cleanup.{what}", status=1)
        return said.split("ERROR:")[1].split(":")[0].strip()

    def posts(self) -> list[Row]:
        """Every text as the bytes that it is."""
        return self.job.execute(
            "SELECT id, title, body, card::text, extra::text, shop, xmin::text::bigint > 0 FROM note ORDER BY id"
        )

    def applied(self) -> int:
        """Plan, sign and apply; the run's number."""
        return self.job.apply(self.job.plan()).number("run_id")

    def outcomes(self, run_id: int) -> dict[str, int]:
        rows = self.job.execute(
            "SELECT o.key, sum(o.value::int)::int FROM cleanup.batch AS b, jsonb_each_text(b.outcomes) AS o"
            " WHERE b.run_id = %s GROUP BY 1",
            run_id,
        )
        return {str(outcome): int(str(values)) for outcome, values in rows}

    def state(self, run_id: int) -> str:
        return str(self.job.execute("SELECT state FROM cleanup.run WHERE run_id = %s", run_id)[0][0])

    def require_whole(self, run_id: int, *, leaves_work: bool = False) -> None:
        """The program proves what psql wrote."""
        found = self.job.done("verify", run_id, "--format", "json", status=int(leaves_work)).report
        assert found["log_problems"] == []

    @contextmanager
    def gate_held(self) -> Iterator[Callable[[], None]]:
        """Hold up whoever writes one row; the given function opens the gate."""
        with psycopg.connect(self.job.dsn, autocommit=True) as holder:
            holder.execute("SELECT pg_advisory_lock(%s)", (GATE,))

            def open_gate() -> None:
                holder.execute("SELECT pg_advisory_unlock_all()")

            yield open_gate

    def at_the_gate(self, application: str = "psql") -> int:
        """Wait until a session stands there, in the middle of a batch; its pid."""
        query = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND application_name LIKE %s"
        query += " AND datname = current_database()"
        wait_for("somebody at the gate", lambda: bool(self.job.execute(query, application)))
        ((pid,),) = self.job.execute(query, application)
        assert isinstance(pid, int)
        return pid


@pytest.fixture
def site(database_dsn: str, server: Server, tmp_path: Path) -> Site:
    """Posts of every type that a column may have."""
    return new_site(database_dsn, tmp_path, server)


@pytest.fixture(scope="module")
def undone(server: Server) -> Iterator[Site]:
    """A site for those who only look: run 1 is an apply, run 2 its rollback, which left one value."""
    with new_database(server) as dsn, new_folder() as folder:
        made = new_site(dsn, folder, server)
        made.applied()
        made.job.execute("UPDATE note SET body = body || ' mine' WHERE id = 5")
        made.call("roll_back_run(1)")
        yield made


def new_site(dsn: str, folder: Path, server: Server) -> Site:
    job = Job(dsn, folder, CONFIG)
    job.execute(SCHEMA)
    with psycopg.connect(dsn) as connection:
        for number in range(1, ROWS + 1):
            card = f'{{"a" : "x {LINK}{number}",\t"b":  1.00, "a": "é🌿"}}' if number % 4 == 0 else None
            connection.execute(
                "INSERT INTO note VALUES (%s, '2021-01-01', %s, %s, %s, %s, %s, %s)",
                (
                    number,
                    number if number % 5 else None,
                    f"标题{number} https://m.tb.cn/h.{number:07d}" if number % 3 == 0 else f"标题{number}",
                    f'é🌿 第{number}篇 {LINK}{number} 和 https://detail.tmall.com/item.htm?id=6{number}\t尾"行\\🌿 ',
                    card,
                    card,
                    f"{LINK}{number}" if number % 7 == 0 else None,
                ),
            )
    job.done("init")
    return Site(job, server)


def test_a_run_is_rolled_back_byte_for_byte_and_the_program_proves_and_undoes_it(site: Site) -> None:
    before = site.posts()
    run = site.applied()
    after = site.posts()
    assert len(before) == len(after) == ROWS
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert "run 2 is finished" in site.call(f"roll_back_run({run}, 'wrong policy', 7)")
    assert site.posts() == before
    assert set(site.outcomes(2)) == {"restored"}
    site.require_whole(2)
    made = site.job.execute("SELECT detail FROM cleanup.event WHERE run_id = 2 AND name = 'run.created'")
    assert made == [({"by": "postgres, by psql", "reason": "wrong policy", "source_run": run},)]
    # The program would have logged the same edits, to the letter.
    texts = {row[0]: row[1:] for row in before}
    logged = site.job.execute(
        "SELECT (key::json ->> 0)::bigint, column_number, edits FROM cleanup.change_log WHERE run_id = 2"
    )
    assert len(logged) == site.job.number("SELECT planned::int FROM cleanup.run WHERE run_id = 2")
    ((said,),) = site.job.execute("SELECT words FROM cleanup.plan WHERE plan_id = 1")
    assert isinstance(said, list)
    words = Words(said)
    for key, column, edits in logged:
        text = texts[key][int(str(column))]
        assert str(edits) == encode_edits(decode_edits(str(edits), words), str(text or ""), words)
    site.job.roll_back(Answer(0, '{"run_id": 2}', ""))
    assert site.posts() == after
    # Ours and the program's take turns: the newest log row of all runs has the word.
    site.call(f"roll_back_run({run})")
    assert site.posts() == before
    site.require_whole(4)


def test_what_an_author_wrote_since_is_left_and_listed_and_the_program_finds_its_place(site: Site) -> None:
    before = site.posts()
    run = site.applied()
    site.job.execute("UPDATE note SET body = body || ' mine' WHERE id = 5")
    site.job.execute("UPDATE note SET body = 'mine alone' WHERE id = 6")
    site.job.execute("UPDATE note SET body = NULL WHERE id = 7")
    site.job.execute("DELETE FROM note WHERE id = 9")
    edited = {row[0]: row for row in site.posts() if row[0] in (5, 6, 7)}
    site.call(f"roll_back_run({run})")
    now = {row[0]: row for row in site.posts()}
    for number, row in now.items():
        assert isinstance(number, int)
        expected = edited[number] if number == 5 else before[number - 1]
        assert row[2] == (edited[number][2] if number in edited else before[number - 1][2])
        assert (row[1], *row[3:]) == (expected[1], *expected[3:]) or number == 6
    found = site.outcomes(2)
    assert found.pop("restored") > ROWS
    # The row that is gone had a title with a link too.
    assert found == {"conflict": 3, "row_gone": 2}
    listed = site.psql("-v", "run=2", "-f", str(sql_directory() / "reports" / "left.sql"), "-t", "-A")
    assert sorted(line.split("|")[4:] for line in listed.splitlines()) == [
        [f'["{number}"]', "not_as_written"] for number in (5, 6, 7)
    ]
    site.require_whole(2, leaves_work=True)
    later = site.job.roll_back(Answer(0, f'{{"run_id": {run}}}', ""), status=1)
    assert site.outcomes(later.number("run_id"))["restored_after_edit"] == 1
    assert site.job.execute("SELECT body FROM note WHERE id = 5") == [(f"{before[4][2]} mine",)]


def test_what_another_run_of_ours_wrote_since_is_left(site: Site) -> None:
    run = site.applied()
    site.job.execute("UPDATE note SET body = body || %s WHERE id = 5", f" 又 {LINK}99")
    later = site.applied()
    assert site.outcomes(later) == {"changed": 1}
    body = site.job.execute("SELECT body FROM note WHERE id = 5")
    site.call(f"roll_back_run({run})")
    assert site.outcomes(3)["conflict"] == 1
    assert site.job.execute("SELECT body FROM note WHERE id = 5") == body
    site.require_whole(3, leaves_work=True)


@pytest.mark.parametrize("goes_on", ["psql", "the program"])
def test_killed_in_the_middle_it_is_gone_on_with(site: Site, goes_on: str) -> None:
    before = site.posts()
    run = site.applied()
    with site.gate_held() as open_gate:
        process = site.start("-c", f"CALL cleanup.roll_back_run({run}, 'x', 4)")
        pid = site.at_the_gate()
        done = site.job.number("SELECT count(*)::int FROM cleanup.batch WHERE run_id = 2")
        site.job.execute("SELECT pg_terminate_backend(%s, 10000)", pid)
        assert process.communicate(timeout=60)[1]
        open_gate()
    assert process.returncode != 0
    assert done >= 2
    assert site.job.number("SELECT count(*)::int FROM cleanup.batch WHERE run_id = 2 AND head IS NULL") == 0
    assert site.posts() != before
    assert site.state(2) == "running"
    if goes_on == "psql":
        assert "run 2 is finished" in site.call(f"roll_back_run({run})")
    else:
        assert site.job.roll_back(Answer(0, f'{{"run_id": {run}}}', "")).number("run_id") == 2
    assert site.posts() == before
    assert set(site.outcomes(2)) == {"restored"}
    site.require_whole(2)


def test_psql_goes_on_with_what_the_program_began(site: Site) -> None:
    before = site.posts()
    run = site.applied()
    with site.gate_held() as open_gate:
        command = [sys.executable, "-m", "cleanup", "rollback", str(run), "--config", str(site.job.config_file)]
        process = Process([*command, "--dsn", site.job.dsn], site.job.folder / "rollback")
        site.at_the_gate("cleanup rollback run %")
        process.kill()
        open_gate()
    assert site.state(2) == "running"
    assert "run 2 is finished" in site.call(f"roll_back_run({run})")
    assert site.posts() == before
    lanes = site.job.execute("SELECT DISTINCT lane = 0 FROM cleanup.batch WHERE run_id = 2 ORDER BY 1")
    assert lanes == [(False,), (True,)]
    site.require_whole(2)


def test_rows_that_somebody_holds_are_not_waited_for(site: Site) -> None:
    run = site.applied()
    body = site.job.execute("SELECT body FROM note WHERE id = 12")
    with psycopg.connect(site.job.dsn) as author:
        author.execute("SELECT FROM note WHERE id = 12 FOR UPDATE")
        site.call(f"roll_back_run({run})")
    assert site.outcomes(2)["locked_out"] == site.job.number(
        "SELECT count(*)::int FROM cleanup.change_log WHERE run_id = %s AND key = '[\"12\"]'", run
    )
    assert site.job.execute("SELECT body FROM note WHERE id = 12") == body
    assert site.job.number("SELECT max(pass)::int FROM cleanup.batch WHERE run_id = 2") == 2
    site.require_whole(2, leaves_work=True)


@pytest.mark.parametrize(
    ("obstacle", "detail"),
    [
        ("ALTER TABLE note ADD CHECK (id <> 12 OR body NOT LIKE '%taobao%') NOT VALID", "SQLSTATE 23514"),
        (
            "CREATE FUNCTION alter_it() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN NEW.body := NEW.body || '!'; RETURN NEW; END $$;"
            " CREATE TRIGGER alter_it BEFORE UPDATE ON note FOR EACH ROW WHEN (NEW.id = 12)"
            " EXECUTE FUNCTION alter_it()",
            "a trigger refused or altered the row",
        ),
        (
            "CREATE FUNCTION say_no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
            " CREATE TRIGGER say_no BEFORE UPDATE ON note FOR EACH ROW WHEN (NEW.id = 12) EXECUTE FUNCTION say_no()",
            "a trigger refused or altered the row",
        ),
    ],
    ids=["constraint", "altered", "left out"],
)
def test_a_row_that_the_database_refuses_takes_no_other_with_it(site: Site, obstacle: str, detail: str) -> None:
    before = site.posts()
    run = site.applied()
    there = [row for row in site.posts() if row[0] == 12]
    site.job.execute(obstacle)
    site.call(f"roll_back_run({run})")
    assert [row for row in site.posts() if row[0] != 12] == [row for row in before if row[0] != 12]
    assert [row for row in site.posts() if row[0] == 12] == there
    refused = site.job.execute("SELECT DISTINCT outcome, detail FROM cleanup.outcome WHERE run_id = 2")
    assert refused == [("refused_by_database", detail)]
    site.require_whole(2, leaves_work=True)


def test_triggers_stay_as_silent_as_the_config_had_them(site: Site) -> None:
    config = site.job.config_file.read_text(encoding="utf-8")
    site.job.config_file.write_text(config.replace('"fire"', '"suppress"'), encoding="utf-8")
    site.job.execute(
        "CREATE TABLE fired (id bigint); CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO public.fired VALUES (NEW.id); RETURN NULL; END $$;"
        " CREATE TRIGGER fire AFTER UPDATE ON note FOR EACH ROW EXECUTE FUNCTION fire()"
    )
    before = site.posts()
    run = site.applied()
    site.call(f"roll_back_run({run})")
    assert site.posts() == before
    assert site.job.execute("SELECT * FROM fired") == []
    site.job.execute("UPDATE note SET id = id WHERE id = 1")
    assert site.job.execute("SELECT * FROM fired") == [(1,)]


def test_a_rollback_hears_what_is_asked_of_it(site: Site) -> None:
    run = site.applied()
    said: list[str] = []
    with site.start("-c", f"CALL cleanup.roll_back_run({run}, 'x', 4)") as process:
        stream = process.stderr
        assert stream is not None
        reader = threading.Thread(target=lambda: said.extend(iter(stream.readline, "")))
        with site.gate_held() as open_gate:
            reader.start()
            site.at_the_gate()
            assert "run 2 is paused by postgres, by psql: lag" in site.call("pause_run(2, 'lag')")
            open_gate()
        held = "is held: paused by postgres, by psql: lag"
        wait_for("the word that it is held", lambda: any(held in line for line in said))
        assert site.job.number("SELECT count(*)::int FROM cleanup.run_chunk WHERE run_id = 2 AND state <> 'done'") > 0
        written = site.job.number("SELECT count(*)::int FROM cleanup.batch WHERE run_id = 2")
        # It looks again once a second, which the time in the throttle's row tells.
        read_since = "SELECT count(*)::int FROM cleanup.throttle WHERE run_id = 2 AND read_at > %s"
        ((now,),) = site.job.execute("SELECT clock_timestamp()")
        wait_for("another look", lambda: site.job.number(read_since, now) == 1)
        assert site.job.number("SELECT count(*)::int FROM cleanup.batch WHERE run_id = 2") == written
        assert "run 2 is not paused" in site.job.done("resume", 2).out
        reader.join()
    assert any("run 2 is finished" in line for line in said)


def test_a_rollback_heeds_the_job_that_watches_it(site: Site) -> None:
    run = site.applied()
    site.job.execute("SELECT cleanup.open_rollback(%s, 'x')", run)
    # A job's word counts as long as it is fresh.
    site.job.execute(
        "INSERT INTO cleanup.throttle (run_id, reason, since, signals, not_before, reader, read_at)"
        " VALUES (2, 'replica_lag 40 s', now(), '[]', '-infinity', 'a job', now() + interval '1 hour')"
    )
    with site.start("-c", f"CALL cleanup.roll_back_run({run})") as process:
        stream = process.stderr
        assert stream is not None
        assert any("run 2 is held: replica_lag 40 s" in line for line in iter(stream.readline, ""))
        assert site.job.number("SELECT count(*)::int FROM cleanup.batch WHERE run_id = 2") == 0
        site.job.execute("UPDATE cleanup.throttle SET reason = NULL WHERE run_id = 2")
        said = stream.read()
    assert "run 2 goes on" in said
    assert "run 2 is finished" in said


def test_a_rollback_is_cancelled_where_it_stands(site: Site) -> None:
    run = site.applied()
    with site.gate_held() as open_gate:
        process = site.start("-c", f"CALL cleanup.roll_back_run({run}, 'x', 4)")
        site.at_the_gate()
        site.psql("-c", "SELECT changed FROM cleanup.ask_of_run(2, 'cancel', 'me', 'enough')")
        open_gate()
    assert "run 2 is cancelled" in process.communicate(timeout=60)[1]
    assert site.state(2) == "cancelled"
    site.require_whole(2)
    # The rest is another rollback's.
    assert "run 3 is finished" in site.call(f"roll_back_run({run})")


def open_run(site: Site) -> int:
    plan = site.job.plan()
    site.job.approve(plan)
    site.job.done("apply", plan.number("plan_id"), "--canary", 5, status=4)
    return 1


def test_psql_asks_of_a_run_what_the_verbs_ask(site: Site) -> None:
    run = open_run(site)
    assert f"run {run} is paused by postgres, by psql: lag" in site.call(f"pause_run({run}, 'lag')")
    answer = site.job.done("pause", run, "--format", "json").report
    assert (answer["changed"], answer["asked_by"], answer["reason"]) == (False, "postgres, by psql", "lag")
    assert f"run {run} is not paused; its state is interrupted" in site.call(f"resume_run({run})")
    site.job.done("pause", run, "--reason", "again")
    assert "by psql" not in site.call(f"pause_run({run}, 'not heard')")
    said = site.call(f"cancel_run({run}, 'enough')")
    head = site.job.execute("SELECT state, encode(log_head, 'hex') FROM cleanup.run WHERE run_id = %s", run)[0]
    assert f"run {run} is cancelled, log head {head[1]}" in said
    site.require_whole(run, leaves_work=True)
    names = site.job.execute(
        "SELECT name, detail ->> 'reason' FROM cleanup.event WHERE run_id = %s ORDER BY event_id", run
    )
    before = ("run.created", "run.drift_sampled", "run.interrupted", "run.canary_reached")
    assert [name for name in names if str(name[0]) not in before] == [
        ("run.paused", "lag"), ("run.resumed", ""), ("run.paused", "again"), ("run.cancel_asked", "enough"),
        ("run.cancelled", None),
    ]  # fmt: skip
    for wish in ("pause_run", "resume_run", "cancel_run"):
        assert site.refused(f"{wish}({run})") == "CL120"
        assert site.refused(f"{wish}(77)") == "CL110"


def test_a_rollback_is_refused_for_the_reasons_that_the_verb_has(site: Site) -> None:
    run = open_run(site)
    assert site.refused("roll_back_run(77)") == "CL110"
    assert site.refused(f"roll_back_run({run})") == "CL112"
    assert "2D000" in site.psql("-c", f"BEGIN; CALL cleanup.roll_back_run({run})", status=1)
    site.call(f"cancel_run({run})")
    site.job.execute("SELECT cleanup.open_rollback(%s, 'x')", run)
    site.job.tamper('UPDATE cleanup.run SET selection = \'{"authors": ["1"]}\' WHERE run_id = 2')
    assert site.refused(f"roll_back_run({run})") == "CL113"
    site.call("cancel_run(2)")
    site.job.execute("ALTER TABLE note RENAME COLUMN shop TO store")
    assert site.refused(f"roll_back_run({run})") == "CL106"
    site.job.execute("ALTER TABLE note RENAME COLUMN store TO shop")
    site.call("cancel_run(3)")
    assert site.job.number("SELECT count(*)::int FROM cleanup.batch WHERE run_id = 3") == 0
    site.job.tamper("UPDATE cleanup.plan SET database_identity = database_identity || '{\"database_oid\": 1}'")
    assert site.refused(f"roll_back_run({run})") == "CL107"
    site.job.tamper("UPDATE cleanup.plan SET settings = jsonb_set(settings, '{public.note,triggers}', '\"refuse\"')")
    site.job.done("purge", run, "--force", "--reason", "asked to")
    site.job.tamper(
        "UPDATE cleanup.plan SET database_identity = database_identity"
        " || jsonb_build_object('database_oid', d.oid::bigint) FROM pg_database AS d WHERE datname = current_database()"
    )
    assert site.refused(f"roll_back_run({run})") == "CL114"


def test_a_trigger_that_the_config_refuses_is_not_fired(site: Site) -> None:
    run = site.applied()
    there = site.posts()
    site.job.tamper("UPDATE cleanup.plan SET settings = jsonb_set(settings, '{public.note,triggers}', '\"refuse\"')")
    assert site.refused(f"roll_back_run({run})") == "CL313"
    assert site.posts() == there


def test_a_ledger_without_a_run_has_nothing_to_report(site: Site) -> None:
    for file in REPORTS:
        assert site.psql("-f", str(file), "-t", "-A") == ""


@pytest.mark.parametrize("file", REPORTS, ids=lambda file: str(file.stem))
def test_a_report_says_how_to_call_it_reads_only_and_shows_no_text(undone: Site, file: Path) -> None:
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("-- ")
    assert "?" in first
    assert f"psql -v run=1 -f {file.name}, or without -v" in first
    before = undone.job.checksums()
    read_only = ("-c", "SET default_transaction_read_only = on", "-q", "-t", "-A", "-f", str(file))
    shown = {number: undone.psql("-v", f"run={number}", *read_only) for number in (1, 2, 3)}
    both = undone.psql(*read_only)
    assert undone.job.checksums() == before
    assert shown[3] == ""
    # These two say how long ago something was, and a second may go by between two looks.
    assert both == shown[2] + shown[1] or file.stem in ("throttle", "progress")
    assert bool(shown[2]) is (file.stem != "blockers")
    for text in ("taobao", PLACEHOLDER, "标题", "第", "mine"):
        assert text not in both


def test_progress_and_outcomes_say_what_the_program_says(undone: Site) -> None:
    report = undone.job.done("report", "--run", 1, "--format", "json").report
    reports = sql_directory() / "reports"
    said = undone.psql("-v", "run=1", "-f", str(reports / "outcomes.sql"), "-t", "-A").split()
    outcomes = report["outcomes"]
    assert isinstance(outcomes, list)
    assert said == [f"1|{line['outcome']}|{line['findings']}|{line['spans']}" for line in outcomes]
    line = undone.psql("-v", "run=1", "-f", str(reports / "progress.sql"), "-t", "-A").strip().split("|")
    settled, planned = report["settled_findings"], report["planned_findings"]
    assert line[:6] == ["1", "apply of plan 1", "finished", str(settled), str(planned), "100.0"]
    assert line[-1] == report["log_head"]


def test_blockers_names_who_waits_for_us_and_whom_we_wait_for(undone: Site) -> None:
    blockers = str(sql_directory() / "reports" / "blockers.sql")
    lane = psycopg.connect(undone.job.dsn, application_name="cleanup apply run 7 lane 1")
    author = psycopg.connect(undone.job.dsn, application_name="author")
    statement = b"/* cleanup:targets.write run=7 */ UPDATE note SET title = 'my own words' WHERE id = 20"

    def waits(what: str, run: str) -> bool:
        return f"{what}|" in undone.psql("-v", f"run={run}", "-f", blockers, "-t", "-A")

    with lane, author:
        for first, second, what in (
            (lane, author, "somebody waits for us"),
            (author, lane, "we wait for somebody"),
        ):
            first.execute(statement)
            waiter = threading.Thread(target=second.execute, args=(statement,))
            waiter.start()
            wait_for(what, lambda what=what: waits(what, "7"))  # type: ignore[misc]  # binds the loop's value
            assert not waits(what, "8")
            said = undone.psql("-f", blockers, "-t", "-A")
            assert "|cleanup:targets.write run=7|" in said
            assert "my own words" not in said
            first.rollback()
            waiter.join()
            second.rollback()


def test_every_outcome_that_leaves_work_is_listed_by_key() -> None:
    text = (sql_directory() / "reports" / "left.sql").read_text(encoding="utf-8")
    for outcome in Outcome:
        is_passed_over = f"'{outcome.value}'" in text.split("NOT IN (")[1].split(")")[0]
        # Its rows are in the log; and what is kept has none anywhere, since no batch visits it.
        is_elsewhere = outcome.value.startswith(("changed", "altered", "restored", "kept"))
        assert outcome.leaves_work != (is_passed_over or (is_elsewhere and outcome is not Outcome.RESTORED_IN_PART)), (
            outcome
        )
