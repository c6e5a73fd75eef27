"""`status --watch`: whoever looks, from any host, sees how far it is, what each lane does, and what holds the run."""

import json
import re
import signal
from pathlib import Path

import pytest

from tests.faults.jobs import wait_for
from tests.integration.asking import ask, begin
from tests.integration.conftest import MakeSite
from tests.integration.jobs import Job
from tests.integration.terminals import Terminal
from tests.integration.watched import (
    LANES,
    ONE_OLD_TRANSACTION,
    build_gate,
    closed_gate,
    old_transaction,
    wait_at_gate,
)
from tests.plugins.servers import WHEEL_MAJOR

QUICKLY = ("--every", "0.2")
on_one_version = pytest.mark.parametrize("major", [WHEEL_MAJOR], ids=["pg18"], indirect=True)


def looks(text: str) -> list[dict[str, object]]:
    """One look a line."""
    return [json.loads(line) for line in text.splitlines()]


def test_in_a_pipe_each_look_is_a_line_until_the_run_ends(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    build_gate(site)
    plan = site.approved_plan()
    with closed_gate(site):
        job = site.start("apply", str(plan))
        wait_at_gate(site, job, LANES)
        run = site.last_run()
        watch = begin(site, "status", "--watch", *QUICKLY, "--format", "json", str(run))
        wait_for("three looks", lambda: watch.said().count("\n") >= 3, process=watch)
    assert job.end().status == 0
    ended = watch.end()
    assert ended.status == 0, ended.err
    first, *_, last = looks(ended.out)
    assert (first["run_id"], first["state"], first["settled_findings"]) == (run, "running", 0)
    lanes = first["lanes"]
    assert isinstance(lanes, list)
    assert [lane["lane"] for lane in lanes] == [1, 2]
    # What a lane does at the gate: the statement that writes, and that it waits for a lock.
    assert {(lane["query_name"], lane["state"], lane["waits_for"]) for lane in lanes} == {
        ("targets.write", "active", "Lock")
    }
    assert {lane["table"] for lane in lanes} == {"public.note"}
    signals = first["signals"]
    assert isinstance(signals, list)
    assert {one["signal"] for one in signals} >= {"replica_lag", "long_transaction", "window"}
    assert all(0 <= one["age_seconds"] < 15 for one in signals)
    assert (last["state"], last["standing"]) == ("finished", "ended")
    assert last["settled_findings"] == last["planned_findings"]
    assert last["rate"] > 0  # type: ignore[operator]  # a number, or this fails


@on_one_version
def test_without_a_number_it_watches_what_is_at_work(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    nothing = ask(site, "status", "--watch", expect=1)
    assert nothing.err.startswith("CLN-124 ")
    build_gate(site)
    plan = site.approved_plan()
    with closed_gate(site):
        job = site.start("apply", str(plan))
        wait_at_gate(site, job)
        watch = begin(site, "status", "--watch", *QUICKLY)
        wait_for("a look", lambda: "\n" in watch.said(), process=watch)
    job.end()
    ended = watch.end()
    assert re.match(r"\S+ run 1 apply: 0/[\d,]+ findings, 0\.0%, 2 lanes", ended.out), ended.out
    assert ended.out.splitlines()[-1].endswith("; finished")


@on_one_version
def test_the_exit_status_is_the_runs(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    build_gate(site)
    plan = site.approved_plan()
    with closed_gate(site):
        job = site.start("apply", str(plan))
        wait_at_gate(site, job, LANES)
        watch = begin(site, "status", "--watch", *QUICKLY)
        wait_for("a look", lambda: "\n" in watch.said(), process=watch)
        job.signal(signal.SIGTERM)
        # Heard before the gate opens: the rest of the run takes less than a tick.
        wait_for("the signal to be heard", lambda: "job.stop_asked" in job.said(), process=job)
    assert job.end().status == 4
    assert watch.end().status == 4
    ask(site, "cancel", str(site.last_run()), "--reason", "no more")
    assert ask(site, "status", "--watch", str(site.last_run()), expect=1).out.endswith("; cancelled\n")


@on_one_version
def test_sigint_ends_the_watch_and_nothing_else(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    build_gate(site)
    plan = site.approved_plan()
    with closed_gate(site):
        job = site.start("apply", str(plan))
        wait_at_gate(site, job)
        watch = begin(site, "status", "--watch", "--every", "3600")
        wait_for("a look", lambda: "\n" in watch.said(), process=watch)
        watch.signal(signal.SIGINT)
        ended = watch.end()
        assert (ended.status, ended.err) == (4, "")
        assert job.is_alive()
    assert job.end().status == 0


@on_one_version
def test_a_pause_says_who_asked_for_it_and_a_killed_job_that_nobody_works(
    database_dsn: str, make_site: MakeSite
) -> None:
    site = make_site(database_dsn)
    build_gate(site)
    plan = site.approved_plan()
    with closed_gate(site):
        job = site.start("apply", str(plan))
        wait_at_gate(site, job)
        ask(site, "pause", str(site.last_run()), "--reason", "the backup first")
        text = ask(site, "status", str(site.last_run())).out
        assert re.search(r"; paused: paused by .+: the backup first$", text, re.MULTILINE), text
        job.kill()
        # A word of a job that is gone is believed for a while.
        site.do("UPDATE cleanup.throttle SET read_at = read_at - interval '1 minute'")
        text = ask(site, "status", str(site.last_run())).out
        assert "; deserted: no job watches it: give the same command again" in text


@on_one_version
def test_what_holds_in_place_of_the_config_is_shown_with_who_and_why(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    build_gate(site)
    plan = site.approved_plan()
    with closed_gate(site):
        job = site.start("apply", str(plan))
        wait_at_gate(site, job)
        run = str(site.last_run())
        assert json.loads(ask(site, "status", run, "--format", "json").out)["settings"] == []
        ask(site, "set", run, "pace.lanes=1", "throttle.vacuum=ignore", "--reason", "the morning peak")
        ask(site, "set", run, "pace.lock_target_ms=5000", "pace.batch_rows_max=3", "--reason", "authors wait")
        ask(site, "set", run, "pace.lanes=2", "pace.batch_rows_max=config", "--reason", "less than before")
        expected = [
            ("pace.lanes", 2, "less than before"),
            ("pace.lock_target_ms", 5_000, "authors wait"),
            ("throttle.vacuum", "ignore", "the morning peak"),
        ]
        settings = json.loads(ask(site, "status", run, "--format", "json").out)["settings"]
        assert [(one["key"], one["value"], one["reason"]) for one in settings] == expected
        (who,) = {one["set_by"] for one in settings}
        assert "@" in who
        named = re.escape(who)
        assert {one["set_as"] for one in settings} == {site.value("SELECT session_user::text")}
        text = ask(site, "status", run).out
        assert re.search(rf"^  in place of its config, set at \S+ as \S+: pace\.lanes = 2 by {named}: less", text, re.M)
        watch = begin(site, "status", "--watch", *QUICKLY, run)
        line = f"; set pace.lanes = 2 by {who}: less than before; set pace.lock_target_ms = 5,000 by {who}: "
        wait_for("the settings", lambda: line in watch.said(), process=watch)
        row = re.compile(rf"pace\.lanes +2 +{named} +\S+ +[\d-]+ [\d:]+ +less than before")
        with Terminal(["status", "--watch", *QUICKLY, run, "--dsn", site.dsn], {}) as terminal:
            terminal.wait_for("the settings", lambda text: row.search(text) is not None)
    assert job.end().status == 0
    # What has ended holds nothing in the place of anything.
    assert watch.end().out.endswith("; finished\n")


@on_one_version
def test_a_setting_that_was_written_past_the_verb_has_nobodys_name(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    site.run("apply", str(site.approved_plan()))
    run = site.last_run()
    settings = json.dumps({"pace": {"lanes": 3}})
    site.do(f"INSERT INTO cleanup.control (run_id, settings) VALUES ({run}, '{settings}')")
    (setting,) = json.loads(ask(site, "status", str(run), "--format", "json").out)["settings"]
    nobody = dict.fromkeys(("set_by", "set_as", "set_at", "reason"))
    assert setting == {"key": "pace.lanes", "value": 3, **nobody}
    assert "\n  in place of its config, set: pace.lanes = 3\n" in ask(site, "status", str(run)).out


@on_one_version
def test_on_a_terminal_it_shows_lanes_and_signals_and_what_holds_the_run(
    database_dsn: str, make_site: MakeSite
) -> None:
    site = make_site(database_dsn, ONE_OLD_TRANSACTION)
    plan = site.approved_plan()
    with old_transaction(site):
        job = site.start("apply", str(plan))
        held = "SELECT count(*) FROM cleanup.throttle WHERE reason IS NOT NULL"
        wait_for("a pause", lambda: site.number(held) == 1, process=job)
        words = ["status", "--watch", *QUICKLY, "--dsn", site.dsn]
        with Terminal(words, {}) as terminal:
            seen = terminal.wait_for(
                "the second lane at the gate", lambda text: re.search(r"\b2 +local +idle for [01] s", text) is not None
            )
            assert "run 1 apply" in seen
            assert re.search(r"waiting: long_transaction [\d,.]+ s, limit 1 \(session \d+ of postgres\)", seen), seen
            assert re.search(r"long_transaction +beyond its limit +[\d,.]+ s +1 s +\d+ s ago +session \d+", seen), seen
            assert "\x1b[?25l" in terminal.raw, "nothing was drawn over itself"
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.end() == 4
            assert terminal.raw.endswith("\x1b[?25h"), "the cursor is hidden"
    assert job.end().status == 0


@on_one_version
def test_a_plan_can_be_watched_too(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    plan = site.approved_plan()
    ended = ask(site, "status", "--watch", "--plan", str(plan), "--format", "json")
    (look,) = looks(ended.out)
    assert (look["plan_id"], look["state"], look["standing"]) == (plan, "finished", "ended")
    assert look["rows_read"] == site.number(
        "SELECT (SELECT count(*) FROM note) + (SELECT count(*) FROM note_archive) + (SELECT count(*) FROM comment)"
    )
    # A plan whose scan was stopped in the middle: nobody is at work on it.
    site.tamper(f"UPDATE cleanup.plan SET state = 'scanning', digest = NULL, finished_at = NULL WHERE plan_id = {plan}")
    text = ask(site, "status", "--plan", str(plan)).out
    assert text.startswith(f"plan {plan}: ")
    assert "; deserted: no lane works on it: give the same command again" in text


@on_one_version
def test_watching_writes_nothing(database_dsn: str, make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(database_dsn)
    site.run("apply", str(site.approved_plan()))
    (tmp_path / "reader").mkdir()
    reader = Job(database_dsn, tmp_path / "reader", "")
    before = reader.checksums()
    ask(site, "status", "--watch", "1")
    assert reader.checksums() == before
