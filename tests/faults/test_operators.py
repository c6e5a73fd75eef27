"""Operators: two who start the same, one who stops, and a lane that stands still."""

import os
import signal
import time

import pytest

from tests.faults.conftest import MakeSite, heavy
from tests.faults.gates import build_gates, gate_closed
from tests.faults.jobs import Pace, Site, body_of, slow_updates, wait_for
from tests.faults.stepping import Authors
from tests.faults.steps import Step
from tests.faults.work import WRITERS, Work
from tests.plugins.fault_table import Faults, Measured

INTERRUPTED = 4
ROWS = 200
SLOW_MS = 4


def slow_site(make_site: MakeSite, pace: Pace | None = None) -> Site:
    """A site whose apply takes a while, so that there is a middle to act in."""
    site = make_site(ROWS, pace or Pace(chunk_rows=20, batch_rows_max=8))
    for table in ("note", "note_archive", "comment"):
        slow_updates(site, table, SLOW_MS)
    return site


def planned(site: Site, plan: int) -> int:
    return site.number("SELECT sum(actionable)::bigint FROM cleanup.chunk WHERE plan_id = %s", plan)


def lanes_at_work(site: Site) -> int:
    return site.number(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'cleanup % run % lane %'"
    )


@heavy
@pytest.mark.parametrize("verb", WRITERS)
def test_two_operators_start_the_same_run_at_once(make_site: MakeSite, faults: Faults, verb: str) -> None:
    """Both work on it; there is one run, created once and ended once."""
    work = Work(slow_site(make_site), verb, faults, "two operators start the same run")
    site = work.site
    processes = [work.start(), work.start()]
    wait_for("the lanes of both", lambda: lanes_at_work(site) == 4, process=processes[0])
    ended = [process.end() for process in processes]
    assert [one.status for one in ended] == [0, 0], [one.err for one in ended]
    assert {one.out for one in ended} == {ended[0].out}, "they say different things of the same run"
    sampled = [("run.drift_sampled", 1)] if verb == "apply" else []
    assert site.rows(
        "SELECT name, count(*) FROM cleanup.event WHERE run_id = %s GROUP BY name ORDER BY 1", work.run
    ) == [("run.created", 1), *sampled, ("run.finished", 1)]
    work.settle()


@heavy
def test_two_operators_start_the_same_plan_at_once(make_site: MakeSite, faults: Faults) -> None:
    """The second waits until the first has created it, and then joins it."""
    site = make_site(60, Pace(chunk_rows=20))
    build_gates(site)
    work = Work(site, "plan", faults, "two operators start the same plan")
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    waiting = f"{waiting} AND application_name = 'cleanup plan' AND wait_event_type = 'Lock'"
    with gate_closed(site, Step.PLAN_CREATED) as keeper:
        processes = [work.start(), work.start()]
        wait_for("both to create it", lambda: site.number(waiting) == 2, process=processes[0])
        keeper.open()
        ended = [process.end() for process in processes]
    assert [one.status for one in ended] == [0, 0], [one.err for one in ended]
    assert {one.out for one in ended} == {ended[0].out}, "they say different things of the same plan"
    work.settle()


@heavy
@pytest.mark.parametrize("verb", WRITERS)
def test_one_of_two_operators_stops_and_the_other_goes_on(make_site: MakeSite, faults: Faults, verb: str) -> None:
    """The run is not interrupted under the lanes of the one who goes on."""
    work = Work(slow_site(make_site), verb, faults, "one of two operators stops")
    stays, leaves = work.start(), work.start()
    wait_for("the lanes of both", lambda: lanes_at_work(work.site) == 4, process=leaves)
    leaves.signal(signal.SIGTERM)
    left = leaves.end()
    assert left.status == INTERRUPTED, left.err
    assert "another job goes on with it" in left.err
    ended = stays.end()
    assert ended.status == 0, ended.err
    work.settle()


@heavy
@pytest.mark.parametrize(
    ("verb", "how"),
    [
        ("apply", "SIGTERM"),
        ("rollback", "SIGINT"),
        ("apply", "Ctrl-C"),
        pytest.param("rollback", "SIGTERM", marks=pytest.mark.long),
        pytest.param("apply", "SIGINT", marks=pytest.mark.long),
        pytest.param("rollback", "Ctrl-C", marks=pytest.mark.long),
    ],
)
def test_a_signal_ends_the_run_between_batches(make_site: MakeSite, faults: Faults, verb: str, how: str) -> None:
    work = Work(slow_site(make_site), verb, faults, f"{how} ends the job")
    site = work.site
    process = work.start()
    wait_for("the middle of the run", work.has_come_to(10), process=process)
    if how == "Ctrl-C":
        # The terminal's: to every process of the session.
        os.killpg(process.process.pid, signal.SIGINT)
    else:
        process.signal(signal.Signals[how])
    ended = process.end()
    assert ended.status == INTERRUPTED, ended.err
    assert "CLN-401" in ended.err
    assert f"cleanup {' '.join(work.words)}" in ended.err, "the command to go on with is not named"
    assert "Traceback" not in ended.err
    run = work.run
    assert site.value("SELECT state FROM cleanup.run WHERE run_id = %s", run) == "interrupted"
    assert site.number("SELECT count(*) FROM cleanup.run_chunk WHERE state = 'claimed'") == 0
    assert site.number("SELECT count(*) FROM cleanup.run_chunk WHERE run_id = %s AND state <> 'done'", run) > 0
    work.run_again()
    work.settle()


@heavy
@pytest.mark.parametrize("how", ["SIGTERM", pytest.param("SIGINT", marks=pytest.mark.long)])
def test_a_signal_ends_a_plan_between_chunks(make_site: MakeSite, faults: Faults, how: str) -> None:
    work = Work(make_site(400, Pace(chunk_rows=5)), "plan", faults, f"{how} ends the job")
    process = work.start()
    wait_for("a chunk", work.has_come_to(4), process=process)
    process.signal(signal.Signals[how])
    ended = process.end()
    assert ended.status == INTERRUPTED, ended.err
    assert work.site.value("SELECT state FROM cleanup.plan") == "scanning"
    work.run_again()
    work.settle()


GATE = """
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN NULL; END $$;
CREATE TRIGGER gate AFTER INSERT ON cleanup.batch FOR EACH ROW EXECUTE FUNCTION gate();
"""


def test_a_lane_that_stands_still_is_thrown_out(make_site: MakeSite, faults: Faults) -> None:
    """Stopped while it holds row locks: authors get their rows, another lane its work, and it does nothing twice."""
    case = faults.case("SIGSTOP of a lane that holds row locks", "apply")
    site = make_site(ROWS, Pace(lanes=2, chunk_rows=50, batch_rows_max=20, lock_timeout_ms=30_000, lock_target_ms=500))
    site.do("TRUNCATE note_archive, comment", *GATE.strip().split(";\n"))
    plan = site.approved_plan()
    authors = Authors(site)
    waiting = (
        "SELECT application_name, pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND wait_event = 'advisory' AND application_name LIKE '%% lane %%' ORDER BY 1"
    )
    with site.connect() as keeper:
        keeper.execute("SELECT pg_advisory_lock(77)")
        process = site.start("apply", str(plan))
        wait_for("both lanes at the gate", lambda: len(site.rows(waiting)) == 2, process=process)
        name, backend = site.rows(waiting)[0]
        stopped = process.lanes()[int(str(name).rpartition(" ")[2]) - 1]
        chunk = site.number("SELECT chunk_number FROM cleanup.run_chunk WHERE lease_pid = %s", backend)
        stopped.send_signal(signal.SIGSTOP)
        # All of its first round trip is sent: behind the gate the server locks the rows, and then waits for the lane.
        keeper.execute("SELECT pg_advisory_unlock(77)")
    idle = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND state = 'idle in transaction'"
    wait_for("row locks of a lane that stands still", lambda: site.number(idle, backend) == 1, process=process)
    number = site.number(
        "SELECT min((f.key::json ->> 0)::int) FROM cleanup.finding AS f JOIN cleanup.run_chunk AS c USING (leaf_number)"
        " WHERE c.chunk_number = %s AND f.finding_number > c.after_number AND f.finding_number <= c.through_number",
        chunk,
    )
    begun = time.monotonic()
    authors.do("UPDATE note SET body = body || '尾' WHERE id = %s", [number])
    authors.join()
    waited_ms = (time.monotonic() - begun) * 1000
    # Twice the lock target, and a second for a busy machine.
    assert waited_ms < 2 * 500 + 1_000
    wait_for(
        "the other lane's work",
        lambda: site.number("SELECT count(*) FROM cleanup.run_chunk WHERE state <> 'done'") == 0,
        process=process,
    )
    assert site.number("SELECT attempt FROM cleanup.run_chunk WHERE chunk_number = %s", chunk) == 2
    batches = site.number("SELECT count(*) FROM cleanup.batch")
    stopped.send_signal(signal.SIGCONT)
    ended = process.end()
    assert ended.status == 0, ended.err
    assert site.number("SELECT count(*) FROM cleanup.batch") == batches, "the lane did something after all"
    run = site.run_of(plan)
    measured = site.require_sound(run, planned=planned(site, plan))
    assert site.value("SELECT body FROM note WHERE id = %s", number) == site.redacted(f"{body_of('note', number)}尾")
    case.settle(measured + Measured(rows_lost=site.left_in_scope()))
