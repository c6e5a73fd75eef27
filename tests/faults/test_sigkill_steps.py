"""SIGKILL at every named step of plan, apply and rollback: of the whole job, and of the lane that takes the step.

Where a step lies in the middle of what a client has sent, the server may go on with it after the client's death, or
drop it: both are tried, and the same command has to do with both.
"""

import signal
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

import psutil
import pytest

from cleanup.demo.server import Server
from tests.faults.conftest import MakeSite, heavy
from tests.faults.gates import build_gates, gate_closed, let_commits_be_held
from tests.faults.jobs import Ended, Pace, Process, Site, wait_for
from tests.faults.leases import shorten_lease
from tests.faults.measuring import differing_rows, measure_run
from tests.faults.steps import Step
from tests.faults.work import Work
from tests.plugins.fault_table import FaultCase, Faults, Measured

INTERRUPTED: Final = 4
# Patient, so that what is held at a gate is ended by the test and not by its own limits.
PACE: Final = Pace(chunk_rows=24, batch_rows_max=4, lock_target_ms=10_000, lock_timeout_ms=60_000)
ROWS: Final = 72
# More than the buffers between server and client hold, so that a chunk's read stands still with its reader.
LONG_TEXT: Final = "repeat('没有链接的话。', 1500)"


class Victim(Enum):
    """Who is killed."""

    JOB = "job and lanes"
    LANE = "one lane"


class Fate(Enum):
    """What the server does with what it has been sent, once the client is dead."""

    IS_DROPPED = "dropped"
    IS_DONE = "done"


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill."""

    step: Step
    victim: Victim = Victim.JOB
    fate: Fate = Fate.IS_DONE

    @property
    def fault(self) -> str:
        return f"SIGKILL of {self.victim.value}: {self.step.value}"


LANE, JOB = Victim.LANE, Victim.JOB
IS_DROPPED, IS_DONE = Fate.IS_DROPPED, Fate.IS_DONE
PLAN_KILLS: Final = (
    Kill(Step.PLAN_CREATED),
    Kill(Step.CHUNK_CLAIMED),
    Kill(Step.CHUNK_CLAIMED, LANE),
    Kill(Step.READ_BEGUN),
    Kill(Step.READING, LANE),
    Kill(Step.CHUNK_FINISHED),
    Kill(Step.SENDING, LANE, IS_DROPPED),
    Kill(Step.SENDING),
    Kill(Step.CHUNK_COMMITTING),
    Kill(Step.CHUNK_COMMITTING, LANE, IS_DROPPED),
    Kill(Step.CHUNK_COMMITTED),
    Kill(Step.DIGESTING),
    Kill(Step.PLAN_FINISHED),
)
BATCH_KILLS: Final = (
    Kill(Step.RUN_CREATED),
    Kill(Step.RUN_CHUNK_CLAIMED),
    Kill(Step.RUN_CHUNK_CLAIMED, LANE),
    Kill(Step.BEFORE_LOCK),
    Kill(Step.BEFORE_LOCK, LANE, IS_DROPPED),
    Kill(Step.AFTER_LOCK),
    Kill(Step.AFTER_LOCK, LANE),
    Kill(Step.WRITING, JOB, IS_DROPPED),
    Kill(Step.WRITING, LANE),
    Kill(Step.BEFORE_LOG, JOB),
    Kill(Step.BEFORE_LOG, LANE, IS_DROPPED),
    Kill(Step.BEFORE_CHECKPOINT, JOB, IS_DROPPED),
    Kill(Step.CHECKPOINTED, JOB),
    Kill(Step.CHECKPOINTED, JOB, IS_DROPPED),
    Kill(Step.CHECKPOINTED, LANE),
    Kill(Step.COMMITTING),
    Kill(Step.COMMITTING, LANE),
    Kill(Step.COMMITTED),
    Kill(Step.COMMITTED, LANE),
    Kill(Step.CHUNK_ENDED),
    Kill(Step.CHUNK_ENDED, LANE),
    Kill(Step.RUN_CLOSED),
)
# The lanes of a rollback are those of an apply: single ones are killed only where what they write is its own.
OWN_TO_ROLLBACK: Final = frozenset({Step.AFTER_LOCK, Step.WRITING, Step.COMMITTED})
ROLLBACK_KILLS: Final = tuple(kill for kill in BATCH_KILLS if kill.victim is JOB or kill.step in OWN_TO_ROLLBACK)
# The last COMMIT ends the work: so it is not the same command that shows its fate.
KILLS: Final = {
    "plan": (*PLAN_KILLS, Kill(Step.PLAN_COMMITTING)),
    "apply": (*BATCH_KILLS, Kill(Step.RUN_COMMITTING)),
    "rollback": (*ROLLBACK_KILLS, Kill(Step.RUN_COMMITTING)),
}
# At these steps all that the COMMIT needs is sent, or in the server already: its fate is the server's to decide.
WRITE_SENT: Final = frozenset({Step.WRITING, Step.BEFORE_LOG, Step.BEFORE_CHECKPOINT, Step.CHECKPOINTED})
COMMIT_SENT: Final = frozenset({Step.COMMITTING, Step.COMMITTED})


@heavy
@pytest.mark.parametrize("verb", list(KILLS))
def test_killed_at_every_step(make_site: MakeSite, faults: Faults, own_server: Server, verb: str) -> None:
    let_commits_be_held(own_server)
    site = make_site(ROWS, PACE, dsn=own_server.dsn())
    site.do(f"UPDATE note SET body = {LONG_TEXT} || body")
    build_gates(site)
    work = Work(site, verb, faults, "SIGKILL at every step, one after the other")
    settled: list[tuple[FaultCase, Measured]] = []
    for kill in KILLS[verb]:
        case = faults.case(kill.fault, verb)
        kill_at(work, kill)
        settled.append((case, measure_between(work)))
    work.settle()
    for case, measured in settled:
        case.settle(measured)


def kill_at(work: Work, kill: Kill) -> None:
    """Start the verb, kill it at the step, and wait for what the server makes of it."""
    with gate_closed(work.site, kill.step) as keeper:
        process = work.start()
        held = keeper.wait(process)
        before = batches_of(work, held.lane)
        if keeper.lies_beyond:
            wait_for("all of it to be sent", lambda: waits_for_server(process, held.lane), process=process)
            stop(process, kill.victim, held.lane, signal.SIGSTOP)
            keeper.open()
            keeper.wait_beyond(held)
        victims = [one for one in keeper.held() if kill.victim is JOB or one.lane == held.lane]
        stop(process, kill.victim, held.lane, signal.SIGKILL)
        if not keeper.lies_beyond:
            if kill.fate is IS_DROPPED:
                keeper.terminate(victims)
            keeper.open()
        keeper.wait_until("the end of the job", lambda: not process.is_alive())
        if kill.victim is LANE:
            require_way_out(process.end())
        keeper.wait_until("the end of its sessions", lambda: sessions(work.site) == 0)
    if kill.step in WRITE_SENT | COMMIT_SENT:
        is_done = kill.fate is IS_DONE or kill.step in COMMIT_SENT
        assert batches_of(work, held.lane) - before == is_done, f"{kill}: the server did not do what is tried here"


def batches_of(work: Work, lane: int | None) -> int:
    """How many batches of this verb's run a lane has committed."""
    return work.site.number("SELECT count(*) FROM cleanup.batch WHERE run_id > %s AND lane = %s", work.run_before, lane)


def stop(process: Process, victim: Victim, lane: int | None, number: signal.Signals) -> None:
    if victim is JOB:
        process.signal_all(number)
    else:
        assert lane is not None, "the job itself came to the step"
        process.lanes()[lane - 1].send_signal(number)


def waits_for_server(process: Process, lane: int | None) -> bool:
    """Whether whoever came to the step has sent what it sends at once: a part of it may be at the gate already."""
    client = process.lanes()[lane - 1] if lane is not None else psutil.Process(process.process.pid)
    return str(client.status()) == psutil.STATUS_SLEEPING


def require_way_out(ended: Ended) -> None:
    assert ended.status == INTERRUPTED, ended.err
    assert "CLN-402" in ended.err
    assert "SIGKILL" in ended.err
    assert "run the same command again" in ended.err
    assert "Traceback" not in ended.err


def sessions(site: Site) -> int:
    return site.number(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'cleanup %'"
    )


def measure_between(work: Work) -> Measured:
    """What has been done so far is whole: each value is the old one or the new one, and log and batches say so."""
    found, peace = work.site.everything(), work.peace
    # Value by value: a row's title and body may be in two batches.
    neither = sum(
        value not in (before, after)
        for table, rows in found.items()
        for key, row in rows.items()
        for value, before, after in zip(row, peace.original[table][key], peace.applied[table][key], strict=True)
    )
    if work.verb == "plan":
        return Measured(rows_lost=differing_rows(found, peace.original))
    if work.site.number("SELECT count(*) FROM cleanup.run WHERE run_id > %s", work.run_before) == 0:
        return Measured(rows_lost=neither)
    measured = measure_run(work.site, work.run, None)
    return Measured(neither, measured.rows_twice, 0, measured.log_differs)


@heavy
@pytest.mark.parametrize("fate", list(Fate), ids=lambda fate: fate.value)
def test_what_a_killed_job_left_undecided_is_waited_for(make_site: MakeSite, faults: Faults, fate: Fate) -> None:
    """Its lease ends, and another job asks for its chunk: which gets it only when the server has decided."""
    site = make_site(ROWS, replace(PACE, lanes=1, chunk_rows=1_000))
    site.do("TRUNCATE note_archive, comment")
    build_gates(site)
    work = Work(site, "apply", faults, f"SIGKILL of job and lanes, COMMIT sent, {fate.value} only later")
    shorten_lease(site)
    with gate_closed(site, Step.CHECKPOINTED) as keeper:
        killed = work.start()
        held = keeper.wait(killed)
        killed.kill()
        second = work.start()
        asked_in_vain = (
            "SELECT count(*) FROM cleanup.run_chunk AS c JOIN pg_stat_activity AS a"
            " ON a.application_name LIKE 'cleanup %% lane %%' AND a.pid <> c.lease_pid"
            " AND a.query LIKE '%%cleanup:run_chunks.awaited%%' AND a.query_start > c.lease_until"
            " WHERE a.datname = current_database() AND c.lease_pid = %s"
        )
        wait_for("the other job to ask in vain", lambda: site.number(asked_in_vain, held.pid) > 0, process=second)
        if fate is IS_DROPPED:
            keeper.terminate(keeper.held())
        keeper.open()
        ended = second.end()
    assert ended.status == 0, ended.err
    # The first batch is the killed job's own, or it was made again from its beginning.
    first = "SELECT attempt FROM cleanup.batch ORDER BY after_number LIMIT 1"
    assert site.number(first) == (1 if fate is IS_DONE else 2)
    work.settle()
