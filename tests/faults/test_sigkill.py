"""SIGKILL at random moments, the same command again: the end state is that of an undisturbed run.

CLEANUP_TEST_SEED repeats the moments of an earlier run.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from random import Random

import psutil
import psycopg
import pytest

from tests.faults.conftest import MakeSite, heavy
from tests.faults.jobs import Pace, Process, Site, slow_updates, wait_for
from tests.faults.measuring import measure_plan, undisturbed
from tests.faults.work import WITH_LANES, Work
from tests.plugins.fault_table import Faults

ROWS = 200
PACE = Pace(chunk_rows=20, batch_rows_max=8)


class Killer:
    """Kills a verb again and again: each time when it has come a little further, and some moments later."""

    def __init__(self, site: Site, lot: Random) -> None:
        self._site = site
        self._lot = lot
        self.killed = 0

    def drive(
        self, kills: int, words: tuple[str, ...], progress: Callable[[], int], whole: int, is_over: Callable[[], bool]
    ) -> None:
        """Kill the verb `kills` times on its way through `whole` steps, then let it end."""
        # Some moments lie before the first step, which takes a job more than half a second to come to. None
        # lies so late that a run with fewer batches would be over.
        marks = sorted(self._lot.uniform(-0.2, 0.9) for _ in range(kills))
        for mark in marks:
            process = self._site.start(*words)
            goal = int(mark * whole) if mark >= 0 else None
            moment = self._lot.uniform(0.0, 0.6 if goal is None else 0.06)
            if goal is not None:
                wait_for(f"step {goal} of {whole}", partial(_has_come, progress, goal), process=process)
            # The moment of the kill is what is tried: no signal to wait for.
            with contextlib.suppress(subprocess.TimeoutExpired):
                assert process.process.wait(moment) == 0, process.said()
            self.killed += process.is_alive()
            process.kill()
            if is_over():
                return
        self._site.run(*words)


def _has_come(progress: Callable[[], int], goal: int) -> bool:
    return progress() >= goal


def kill_all_the_way(site: Site, faults: Faults, kills: tuple[int, int, int]) -> None:
    """Kill plan, apply and rollback so many times each."""
    seed = int(os.environ.get("CLEANUP_TEST_SEED") or Random().randrange(1 << 32))
    print(f"seed {seed}")  # noqa: T201 -- shown where the test fails, to run it again
    fault = "SIGKILL of job and lanes at random moments"
    planning, applying, rolling_back = (faults.case(fault, verb) for verb in ("plan", "apply", "rollback"))
    peace = undisturbed(site)
    killer = Killer(site, Random(seed))

    def chunks() -> int:
        return site.number("SELECT count(*) FROM cleanup.chunk WHERE state = 'done'")

    def has_plan() -> bool:
        return site.number("SELECT count(*) FROM cleanup.plan WHERE state = 'finished'") > 0

    killer.drive(kills[0], ("plan",), chunks, peace.chunks, has_plan)
    assert site.number("SELECT count(*) FROM cleanup.plan") == 1, "a killed plan was not gone on with"
    plan = site.number("SELECT max(plan_id) FROM cleanup.plan")
    planning.settle(measure_plan(site, plan, peace))

    site.approve(plan)
    before = 0

    def batches() -> int:
        return site.number("SELECT count(*) FROM cleanup.batch WHERE run_id > %s", before)

    def has_ended() -> bool:
        return site.number("SELECT count(*) FROM cleanup.run WHERE run_id > %s AND state = 'finished'", before) > 0

    killer.drive(kills[1], ("apply", str(plan)), batches, peace.batches, has_ended)
    run = site.run_of(plan)
    assert site.outcomes(run) == peace.outcomes
    applying.settle(site.require_sound(run, planned=peace.planned, expected=peace.applied))
    assert site.verify(run).is_clean
    assert site.verify(run).values == {"as_written": peace.planned}

    before = run
    killer.drive(kills[2], ("rollback", str(run)), batches, peace.batches, has_ended)
    back = site.last_run()
    assert site.outcomes(back) == {"restored": peace.planned}
    rolling_back.settle(site.require_sound(back, planned=peace.planned, expected=peace.original))
    # None of the kills may have made a second run.
    assert site.rows("SELECT kind, state FROM cleanup.run ORDER BY run_id") == [
        ("apply", "finished"),
        ("rollback", "finished"),
    ]
    assert killer.killed >= sum(kills) / 2, "too many of the processes ended before their kill"


@heavy
def test_killed_all_the_way(make_site: MakeSite, faults: Faults) -> None:
    kill_all_the_way(make_site(ROWS, PACE), faults, kills=(7, 7, 6))


@pytest.mark.long
def test_killed_all_the_way_twenty_times_each(make_site: MakeSite, faults: Faults) -> None:
    kill_all_the_way(make_site(2 * ROWS, PACE), faults, kills=(20, 20, 20))


def kill_lane(process: Process) -> None:
    process.lanes()[0].kill()


def kill_coordinator(process: Process) -> None:
    process.process.kill()


@heavy
def test_one_killed_lane_stops_the_job_which_then_goes_on(make_site: MakeSite, faults: Faults) -> None:
    case = faults.case("SIGKILL of one lane", "apply")
    site = make_site(ROWS, PACE)
    peace = undisturbed(site)
    plan = site.approved_plan()
    process = site.start("apply", str(plan))
    wait_for("a batch", lambda: site.number("SELECT count(*) FROM cleanup.batch") > 3, process=process)
    kill_lane(process)
    ended = process.end()
    assert ended.status == 4, ended.err
    assert "CLN-402" in ended.err
    assert "SIGKILL" in ended.err
    assert "run the same command again" in ended.err
    done = site.number("SELECT count(*) FROM cleanup.batch")
    site.run("apply", str(plan))
    assert site.number("SELECT count(*) FROM cleanup.batch") > done, "it was all done before: the test proves nothing"
    run = site.run_of(plan)
    case.settle(site.require_sound(run, planned=peace.planned, expected=peace.applied))
    assert site.verify(run).is_clean


@heavy
def test_lanes_end_by_themselves_when_the_coordinator_is_killed(make_site: MakeSite, faults: Faults) -> None:
    case = faults.case("SIGKILL of the job, not of its lanes", "apply")
    site = make_site(ROWS, PACE)
    peace = undisturbed(site)
    plan = site.approved_plan()
    process = site.start("apply", str(plan))
    wait_for("a batch", lambda: site.number("SELECT count(*) FROM cleanup.batch") > 3, process=process)
    lanes = process.lanes()
    assert len(lanes) == 2
    kill_coordinator(process)
    process.process.wait()
    gone, alive = psutil.wait_procs(lanes, timeout=30)
    assert alive == [], "an orphan lane goes on"
    assert len(gone) == 2
    # In order: they gave their chunks back and left no batch half done.
    assert site.number("SELECT count(*) FROM cleanup.run_chunk WHERE state = 'claimed'") == 0
    assert site.number("SELECT count(*) FROM cleanup.run_chunk WHERE state <> 'done'") > 0
    site.run("apply", str(plan))
    case.settle(site.require_sound(site.run_of(plan), planned=peace.planned, expected=peace.applied))


@heavy
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_an_idle_lane_that_is_killed_or_stopped_hangs_nobody(
    make_site: MakeSite, faults: Faults, number: signal.Signals
) -> None:
    """One lane waits for the chunk that the other holds: what the two share must not be a lock."""
    case = faults.case(f"{number.name} of an idle lane", "apply")
    site = make_site(60, Pace(chunk_rows=1_000, batch_rows_max=1, lock_target_ms=10_000))
    site.do("TRUNCATE note_archive, comment")
    slow_updates(site, "note", 100)
    peace = undisturbed(site)
    plan = site.approved_plan()
    process = site.start("apply", str(plan))
    wait_for("a batch", lambda: site.number("SELECT count(*) FROM cleanup.batch") > 0, process=process)
    working = site.number("SELECT lane::int FROM cleanup.batch LIMIT 1")
    idle = process.lanes()[2 - working]
    idle.send_signal(number)
    if number is signal.SIGKILL:
        ended = process.end()
        assert ended.status == 4, ended.err
    else:
        # The other lane goes on to the end of the work; the job then waits for its stopped lane, which is all right.
        wait_for(
            "the end of the work",
            lambda: site.number("SELECT count(*) FROM cleanup.run_chunk WHERE state <> 'done'") == 0,
            process=process,
        )
        idle.send_signal(signal.SIGCONT)
        assert process.end().status == 0
    site.run("apply", str(plan), expect=0 if number is signal.SIGKILL else 1)
    case.settle(site.require_sound(site.run_of(plan), planned=peace.planned, expected=peace.applied))


@heavy
@pytest.mark.parametrize("verb", WITH_LANES)
def test_the_chunks_of_a_killed_job_are_taken_up_at_once(make_site: MakeSite, faults: Faults, verb: str) -> None:
    """The lease lasts an hour in these tests: whoever waited for its end would not come to an end."""
    work = Work(make_site(ROWS, PACE), verb, faults, "SIGKILL of job and lanes that hold chunks")
    site = work.site
    table = "cleanup.chunk" if verb == "plan" else "cleanup.run_chunk"
    ledger = f"SELECT state, attempt FROM {table}"
    if verb != "plan":
        ledger += f" WHERE run_id > {work.run_before}"
    held = f"SELECT count(*) FROM ({ledger}) AS c WHERE state = 'claimed'"
    process = work.start()
    with psycopg.connect(site.dsn, application_name="keeper") as keeper:

        def is_claimed() -> bool:
            # What is found claimed under this lock stays so: nobody can finish it.
            keeper.execute(f"LOCK TABLE {table} IN SHARE MODE".encode())
            if keeper.execute(held.encode()).fetchone() != (0,):
                return True
            keeper.rollback()
            return False

        wait_for("a claimed chunk", is_claimed, process=process)
        process.kill()
        keeper.rollback()
    assert site.number(held) > 0
    work.run_again()
    assert site.number(held) == 0
    assert site.number(f"SELECT max(attempt) FROM ({ledger}) AS c") == 2
    work.settle()
