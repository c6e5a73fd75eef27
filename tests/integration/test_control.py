"""A second process asks something of a running one, through the ledger alone: pause, resume, cancel."""

import json
import os
import re
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.faults.jobs import Pace, Site, slow_updates, wait_for
from tests.integration.asking import ask, events, in_the_middle, lanes_at_the_gate, planned
from tests.integration.conftest import MakeSite

REFUSED = 1
INTERRUPTED = 4
ROWS = 150
PACE = Pace(lanes=2, chunk_rows=20, batch_rows_max=8)
# A rollback asks what stands there value by value, and samples nothing.
SAMPLED = {"apply": ("run.drift_sampled",), "rollback": ()}


@pytest.fixture
def site(database_dsn: str, make_site: MakeSite) -> Site:
    """A site whose runs take a while, so that there is a middle to act in."""
    made = make_site(database_dsn, rows=ROWS, pace=PACE)
    for table in ("note", "note_archive", "comment"):
        slow_updates(made, table, 5)
    return made


@pytest.mark.parametrize("verb", ["apply", "rollback"])
def test_a_paused_run_stands_still_until_it_is_resumed(site: Site, verb: str) -> None:
    plan = site.approved_plan()
    words = ("apply", str(plan))
    if verb == "rollback":
        site.run(*words)
        words = ("rollback", str(site.last_run()))
    process = site.start(*words)
    run = in_the_middle(site, process, 0 if verb == "apply" else site.run_of(plan))
    said = ask(site, "pause", str(run), "--reason", "the editors are busy").out
    assert f"run {run} is paused by " in said
    assert "the editors are busy" in said
    lanes_at_the_gate(site, process, PACE.lanes)
    asked_at = site.value("SELECT asked_at FROM cleanup.control WHERE run_id = %s", run)
    opened_after = "SELECT count(*) FROM cleanup.batch WHERE run_id = %s AND written_at > %s + interval '50 ms'"
    assert site.number(opened_after, run, asked_at) == 0, "a batch opened after the pause"
    assert site.number("SELECT count(*) FROM cleanup.run_chunk WHERE run_id = %s AND state <> 'done'", run) > 0
    stood_still = site.number("SELECT count(*) FROM cleanup.batch WHERE run_id = %s", run)
    lanes_at_the_gate(site, process, PACE.lanes)
    assert site.number("SELECT count(*) FROM cleanup.batch WHERE run_id = %s", run) == stood_still
    # Nothing is held in the meantime: no transaction has outlived the pause, and those in which a lane asks whether it
    # may go on write nothing and end.
    open_ones = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'"
    assert site.number(f"{open_ones} AND xact_start <= %s", asked_at) == 0
    assert site.number(f"{open_ones} AND backend_xid IS NOT NULL") == 0
    wait_for("no lane to have a transaction open", lambda: site.number(open_ones) == 0, process=process, seconds=5)
    again = json.loads(ask(site, "pause", str(run), "--format", "json").out)
    assert (again["changed"], again["reason"]) == (False, "the editors are busy")
    assert f"run {run} is not paused" in ask(site, "resume", str(run)).out
    ended = process.end()
    assert ended.status == 0, ended.err
    site.require_sound(run, planned=planned(site, run))
    assert events(site, run) == ["run.created", *SAMPLED[verb], "run.finished", "run.paused", "run.resumed"]


def test_a_run_is_cancelled_where_it_stands_and_can_be_undone(site: Site) -> None:
    original = site.everything()
    plan = site.approved_plan()
    process = site.start("apply", str(plan))
    run = in_the_middle(site, process)
    answer = json.loads(ask(site, "cancel", str(run), "--reason", "wrong policy", "--format", "json").out)
    ended = process.end()
    assert ended.status == REFUSED, ended.err
    assert "CLN-121" in ended.err
    assert "wrong policy" in ended.err
    state, head = site.rows("SELECT state, encode(log_head, 'hex') FROM cleanup.run WHERE run_id = %s", run)[0]
    assert (state, head) == ("cancelled", answer["log_head"])
    assert site.number("SELECT count(*) FROM cleanup.batch WHERE outcomes IS NULL OR head IS NULL") == 0
    settled = sum(site.outcomes(run).values())
    assert 0 < settled < planned(site, run), "it was over before anybody could cancel it"
    site.require_sound(run, planned=settled)
    assert events(site, run) == ["run.cancel_asked", "run.cancelled", "run.created", "run.drift_sampled"]
    # What was signed runs once, and a delta plan would miss the rest.
    assert "not with --since" in site.run("apply", str(plan), expect=REFUSED).err
    site.run("rollback", str(run))
    assert site.everything() == original


def test_a_run_without_a_job_is_paused_resumed_and_cancelled(site: Site) -> None:
    plan = site.approved_plan()
    process = site.start("apply", str(plan))
    run = in_the_middle(site, process)
    process.kill()
    ask(site, "pause", str(run))
    # The job that goes on with it waits like any other.
    second = site.start("apply", str(plan))
    lanes_at_the_gate(site, second, PACE.lanes)
    batches = site.number("SELECT count(*) FROM cleanup.batch")
    second.kill()
    assert site.number("SELECT count(*) FROM cleanup.batch") == batches
    ask(site, "resume", str(run))
    assert site.value("SELECT wish FROM cleanup.control") == "go"
    ask(site, "cancel", str(run))
    assert site.value("SELECT state FROM cleanup.run") == "cancelled"


def test_nothing_can_be_asked_of_a_run_that_has_ended(site: Site) -> None:
    site.do("TRUNCATE note_archive, comment", "DELETE FROM note WHERE id > 3")
    site.run("apply", str(site.approved_plan()))
    run = site.last_run()
    for verb in ("pause", "resume", "cancel"):
        ended = ask(site, verb, str(run), expect=REFUSED)
        assert f"CLN-120 run {run} is finished" in ended.err
        assert "CLN-110" in ask(site, verb, str(run + 1), expect=REFUSED).err
    assert site.number("SELECT count(*) FROM cleanup.control") == 0


def test_only_the_arrows_of_the_table_are_allowed(site: Site) -> None:
    site.do("TRUNCATE note_archive, comment")
    process = site.start("apply", str(site.approved_plan()))
    run = in_the_middle(site, process)
    process.kill()
    # As `cancel` leaves it where it is killed between its two transactions.
    site.do(f"INSERT INTO cleanup.control (run_id, wish, asked_by) VALUES ({run}, 'cancel', 'Lin')")
    for verb in ("pause", "resume"):
        assert "CLN-120" in ask(site, verb, str(run), expect=REFUSED).err
    plan = site.number("SELECT plan_id FROM cleanup.run")
    assert "CLN-121" in site.run("apply", str(plan), expect=REFUSED).err
    assert site.value("SELECT state FROM cleanup.run") == "cancelled"


def lane_sessions(site: Site) -> int:
    return site.number(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'cleanup apply run %% lane %%'"
    )


def test_lanes_are_added_and_taken_away_while_the_run_works(site: Site) -> None:
    process = site.start("apply", str(site.approved_plan()))
    run = in_the_middle(site, process)
    # Paused, so that the run does not end meanwhile: lanes come and go all the same.
    ask(site, "pause", str(run))
    words = ("pace.batch_rows_max=2", "pace.lanes=3", "throttle.vacuum=ignore")
    answer = json.loads(ask(site, "set", str(run), *words, "--reason", "the morning peak", "--format", "json").out)
    assert answer["settings"] == {"pace": {"batch_rows_max": 2, "lanes": 3}, "throttle": {"vacuum": "ignore"}}
    wait_for("a third lane", lambda: lane_sessions(site) == 3, process=process)
    ask(site, "set", str(run), "pace.lanes=1", "--reason", "less")
    wait_for("one lane alone", lambda: lane_sessions(site) == 1, process=process)
    ask(site, "set", str(run), "pace.batch_rows_max=config", "pace.lanes=4", "--reason", "the peak is over")
    wait_for("four lanes", lambda: lane_sessions(site) == 4, process=process)
    ask(site, "resume", str(run))
    ended = process.end()
    assert ended.status == 0, ended.err
    site.require_sound(run, planned=planned(site, run))
    resumed = "(SELECT at FROM cleanup.event WHERE name = 'run.resumed')"
    assert site.number(f"SELECT count(DISTINCT lane) FROM cleanup.batch WHERE written_at > {resumed}") == 4
    told = site.rows(
        "SELECT detail ->> 'settings', detail ->> 'reason' FROM cleanup.event WHERE name = 'run.set' ORDER BY at"
    )
    assert told == [
        ("pace.batch_rows_max=2 pace.lanes=3 throttle.vacuum=ignore", "the morning peak"),
        ("pace.lanes=1", "less"),
        ("pace.batch_rows_max=config pace.lanes=4", "the peak is over"),
    ]


def test_a_setting_holds_from_the_next_batch_on(site: Site) -> None:
    for table in ("note", "note_archive", "comment"):
        site.do(f"DROP TRIGGER slow ON {table}")
        slow_updates(site, table, 30)
    process = site.start("apply", str(site.approved_plan()))
    run = in_the_middle(site, process)
    ask(site, "set", str(run), "pace.batch_rows_max=1", "--reason", "authors wait")
    ended = process.end()
    assert ended.status == 0, ended.err
    # A batch that was open already when `set` was committed is the last of its kind.
    later = (
        "SELECT count(*) FROM cleanup.batch WHERE written_at > (SELECT max(at) + interval '50 ms' FROM cleanup.event"
    )
    later += " WHERE name = 'run.set')"
    assert site.number(later) > 0, "it was over before anything could be set"
    assert site.number(f"{later} AND findings > 1") == 0
    site.require_sound(run, planned=planned(site, run))


def assert_comes_after_others(pid: int) -> None:
    assert os.getpriority(os.PRIO_PROCESS, pid) == 10
    # What kernels know beyond that differs: sessions have a weight where there is a file for it, and slices in the
    # kernel's own account of a process stand still before 6.12.
    assert os.getsid(pid) == pid
    if (group := Path(f"/proc/{pid}/autogroup")).exists():
        assert group.read_text().endswith("nice 10\n")
    if (account := Path(f"/proc/{pid}/sched")).exists() and kernel() >= (6, 12):
        # 3 ms, for a weight that is less by 1.25 to the 10th.
        assert re.search(r"^se\.slice\s*:\s*322123$", account.read_text(), re.MULTILINE)


def kernel() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int(minor)


def test_lanes_rest_between_batches_and_come_after_others(site: Site) -> None:
    site.set_pace(replace(PACE, niceness=10))
    process = site.start("apply", str(site.approved_plan()))
    run = in_the_middle(site, process)
    for lane in process.lanes():
        assert_comes_after_others(lane.pid)
    ask(site, "set", str(run), "pace.rest_percent=200", "--reason", "authors wait")
    ended = process.end()
    assert ended.status == 0, ended.err
    # From the end of a batch to the beginning of the lane's next one, as a part of what the first one took. One that
    # was open already when `set` was committed is the last of its kind.
    rests = site.rows(
        "SELECT written_at > (SELECT at + interval '50 ms' FROM cleanup.event WHERE name = 'run.set'), min(rest) FROM ("
        "  SELECT written_at,"
        "         ((lead(written_at) OVER lane - written_at - took) / extract(epoch FROM took))::interval AS rest"
        "    FROM (SELECT lane, written_at, lock_ms * interval '1 ms' AS took FROM cleanup.batch) AS batch"
        "  WINDOW lane AS (PARTITION BY lane ORDER BY written_at)) AS batch WHERE rest IS NOT NULL GROUP BY 1"
    )
    least = {bool(after): rest.total_seconds() for after, rest in rests if isinstance(rest, timedelta)}
    assert least[False] < 1, "they rested before anybody wanted it"
    assert least[True] >= 1.9, "a lane that has to rest twice as long as it worked did not"


def test_a_wrong_setting_changes_nothing(site: Site) -> None:
    site.do("TRUNCATE note_archive, comment")
    process = site.start("apply", str(site.approved_plan()))
    run = in_the_middle(site, process, batches=2)
    # Its lanes may come to the end of the work meanwhile; the run can not end without its job.
    process.signal(signal.SIGSTOP)
    ended = ask(site, "set", str(run), "pace.batch_rows_max=3", "pace.lanes=99", "--reason", "x", expect=2)
    assert "CLN-204 set: pace.lanes: is 99, must be from 1 to 64" in ended.err
    assert site.number("SELECT count(*) FROM cleanup.control") == 0
    process.signal(signal.SIGCONT)
    assert process.end().status == 0


@pytest.mark.parametrize("verb", ["plan", "apply", "rollback"])
def test_a_job_stops_at_its_maximum_runtime_and_the_same_command_completes_it(site: Site, verb: str) -> None:
    if verb == "plan":
        # So many that no second is enough.
        site.set_pace(Pace(chunk_rows=1))
        words: tuple[str, ...] = ("plan",)
    else:
        words = ("apply", str(site.approved_plan()))
        if verb == "rollback":
            site.run(*words)
            words = ("rollback", str(site.last_run()))
    stopped = site.start(*words, "--max-runtime", "1s").end()
    assert stopped.status == INTERRUPTED, stopped.err
    assert "CLN-404" in stopped.err
    assert "maximum runtime" in stopped.err
    unfinished = "SELECT count(*) FROM cleanup.plan WHERE state <> 'finished'"
    assert site.number(unfinished if verb == "plan" else unfinished.replace("plan", "run")) == 1
    site.run(*words)
    assert site.number(unfinished) == 0
    if verb != "plan":
        site.require_sound(site.last_run(), planned=planned(site, site.last_run()))
