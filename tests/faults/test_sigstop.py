"""Jobs and lanes that stand still, and come back when others have done their work: they write nothing more.

What stands still may hold the locks of its posts; the server then throws it out, and authors get their rows.
"""

import signal
import time
from typing import Final

import psutil
import pytest

from tests.faults.conftest import MakeSite, heavy
from tests.faults.gates import Held, build_gates, gate_closed
from tests.faults.jobs import Pace, Process, Site, wait_for
from tests.faults.leases import shorten_lease
from tests.faults.stepping import Authors
from tests.faults.steps import Step
from tests.faults.work import APPLY_AND_ROLLBACK_LONG, WRITERS, Work
from tests.plugins.fault_table import Faults

ROWS: Final = 72
LOCK_TARGET_MS: Final = 1_000
# A lane's session is thrown out after twice the lock target; a second more for a busy machine.
ALLOWED_WAIT_MS: Final = 2 * LOCK_TARGET_MS + 1_000
PACE: Final = Pace(chunk_rows=24, batch_rows_max=4, lock_target_ms=LOCK_TARGET_MS, lock_timeout_ms=60_000)


@heavy
@pytest.mark.parametrize("verb", WRITERS)
def test_a_job_that_stood_still_holding_rows_writes_nothing_more(
    make_site: MakeSite, faults: Faults, verb: str
) -> None:
    site = make_site(ROWS, PACE)
    build_gates(site)
    work = Work(site, verb, faults, "SIGSTOP of job and lanes that hold rows, another job does it all")
    authors = Authors(site)
    with gate_closed(site, Step.AFTER_LOCK) as keeper:
        stopped = work.start()
        held = keeper.wait(stopped, sessions=2)
        stopped.signal_all(signal.SIGSTOP)
        keeper.open()
        keeper.wait_beyond(held)
    begun = time.monotonic()
    authors.do("UPDATE note SET author_id = author_id WHERE id = %s", [first_note_of(site, work, held)])
    authors.join()
    assert (time.monotonic() - begun) * 1000 < ALLOWED_WAIT_MS
    work.run_again()
    come_back(work, stopped)
    assert site.number("SELECT max(attempt)::bigint FROM cleanup.run_chunk WHERE run_id = %s", work.run) == 2


@heavy
@pytest.mark.parametrize("verb", APPLY_AND_ROLLBACK_LONG)
def test_what_a_stopped_job_had_sent_is_done_without_it(make_site: MakeSite, faults: Faults, verb: str) -> None:
    """Nobody waits for it, and nobody does it again: the server had all that it needed."""
    site = make_site(ROWS, PACE)
    build_gates(site)
    work = Work(site, verb, faults, "SIGSTOP of one lane that has sent its COMMIT")
    with gate_closed(site, Step.CHECKPOINTED) as keeper:
        process = work.start()
        held = keeper.wait(process, sessions=2)
        lane = stop_lane(process, held)
        keeper.open()
        idle = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND state = 'idle'"
        wait_for("the stopped lane's COMMIT", lambda: site.number(idle, held.pid) == 1, process=process)
    open_chunks = "SELECT count(*) FROM cleanup.run_chunk WHERE run_id = %s AND state <> 'done'"
    # All but its own chunk, which is in living hands.
    wait_for("the other lane's work", lambda: site.number(open_chunks, work.run) == 1, process=process)
    number = first_note_of(site, work, held)
    site.do(f"SET lock_timeout = '1s'; UPDATE note SET author_id = author_id WHERE id = {number}")
    lane.send_signal(signal.SIGCONT)
    ended = process.end()
    assert ended.status == 0, ended.err
    assert site.number("SELECT max(attempt)::bigint FROM cleanup.run_chunk WHERE run_id = %s", work.run) == 1
    work.settle()


@heavy
def test_a_lane_whose_lease_ended_while_it_stood_still_is_fenced_off(make_site: MakeSite, faults: Faults) -> None:
    """It holds no row, and its session lives on: so it is the end of its lease that gives its chunk to another."""
    site = make_site(ROWS, PACE)
    build_gates(site)
    shorten_lease(site)
    work = Work(site, "apply", faults, "SIGSTOP of one lane between batches until its lease has ended")
    with gate_closed(site, Step.PAGE_READ) as keeper:
        process = work.start()
        held = keeper.wait(process, sessions=2)
        assert held.lane is not None
        chunk = site.number("SELECT chunk_number FROM cleanup.run_chunk WHERE lease_pid = %s", held.pid)
        lane = process.lanes()[held.lane - 1]
        lane.send_signal(signal.SIGSTOP)
        keeper.open()
        keeper.wait_beyond(held)
        done = "SELECT count(*) FROM cleanup.run_chunk WHERE run_id = %s AND state <> 'done'"
        wait_for("the other lane's work", lambda: site.number(done, work.run) == 0, process=process)
    before = written(site)
    lane.send_signal(signal.SIGCONT)
    ended = process.end()
    assert ended.status == 0, ended.err
    assert written(site) == before, "the lane did something after all"
    attempts = site.rows("SELECT DISTINCT attempt, lane::int FROM cleanup.batch WHERE chunk_number = %s", chunk)
    assert attempts == [(2, 3 - (held.lane or 0))]
    work.settle()


@heavy
def test_a_lane_that_stood_still_in_a_read_adds_nothing_more(make_site: MakeSite, faults: Faults) -> None:
    site = make_site(ROWS, PACE)
    # More than the buffers between server and client hold, so that the read stands still with its reader.
    site.do("UPDATE note SET body = repeat('没有链接的话。', 1500) || body")
    build_gates(site)
    shorten_lease(site)
    work = Work(site, "plan", faults, "SIGSTOP of one lane in a read until its lease has ended")
    with gate_closed(site, Step.READING) as keeper:
        process = work.start()
        held = keeper.wait(process)
        lane = stop_lane(process, held)
        keeper.open()
        keeper.wait_beyond(held)
        # An author is not held up by it.
        site.do("SET lock_timeout = '1s'; UPDATE note SET author_id = author_id")
        taken_over = "SELECT count(*) FROM cleanup.chunk WHERE attempt = 2 AND state = 'done'"
        wait_for("the other lane to do its chunk", lambda: site.number(taken_over) == 1, process=process)
    lane.send_signal(signal.SIGCONT)
    ended = process.end()
    assert ended.status == 0, ended.err
    assert site.number("SELECT count(*) FROM cleanup.chunk WHERE attempt > 1") == 1
    work.settle()


@heavy
def test_a_plan_that_stood_still_in_a_claim_is_thrown_out(make_site: MakeSite, faults: Faults) -> None:
    """It holds the lock that every claim needs: others get it before their own patience ends."""
    site = make_site(ROWS, PACE)
    build_gates(site)
    work = Work(site, "plan", faults, "SIGSTOP of job and lanes in a claim, another job does it all")
    with gate_closed(site, Step.CHUNK_HELD) as keeper:
        stopped = work.start()
        held = keeper.wait(stopped)
        stopped.signal_all(signal.SIGSTOP)
        keeper.open()
        keeper.wait_beyond(held)
    work.run_again()
    come_back(work, stopped)


def come_back(work: Work, stopped: Process) -> None:
    """Let the stopped job go on: it finds everything done, ends in order, and writes nothing."""
    before = written(work.site)
    stopped.signal_all(signal.SIGCONT)
    ended = stopped.end()
    assert ended.status == 0, ended.err
    assert "Traceback" not in ended.err
    assert written(work.site) == before, "it did something after all"
    work.settle()


def stop_lane(process: Process, held: Held) -> psutil.Process:
    """Let the lane of a session stand still."""
    assert held.lane is not None
    lane = process.lanes()[held.lane - 1]
    lane.send_signal(signal.SIGSTOP)
    return lane


def written(site: Site) -> object:
    """Everything that a job can have written."""
    return (
        site.everything(),
        site.rows(
            "SELECT (SELECT count(*) FROM public.write_seen), (SELECT count(*) FROM cleanup.batch),"
            " (SELECT count(*) FROM cleanup.change_log), (SELECT count(*) FROM cleanup.outcome),"
            " (SELECT count(*) FROM cleanup.finding), (SELECT count(*) FROM cleanup.run),"
            " (SELECT string_agg(c::text, ';' ORDER BY c.chunk_number) FROM cleanup.chunk AS c)"
        ),
    )


def first_note_of(site: Site, work: Work, held: Held) -> int:
    """A note of the batch that a session has under way."""
    return site.number(
        "SELECT min((f.key::json ->> 0)::bigint) FROM cleanup.run_chunk AS c JOIN cleanup.run AS r USING (run_id)"
        " JOIN cleanup.finding AS f ON f.plan_id = r.plan_id AND f.leaf_number = c.leaf_number"
        " AND f.finding_number > c.after_number AND f.finding_number <= c.through_number"
        " WHERE c.run_id = %s AND c.lease_pid = %s AND f.actionable",
        work.run, held.pid,
    )  # fmt: skip
