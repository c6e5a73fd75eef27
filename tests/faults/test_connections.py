"""Sessions that are terminated and servers that go away: the job tries again, or the same command goes on."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import psycopg
import pytest

from cleanup.demo.server import Server, StopMode
from tests.faults.conftest import MakeSite, heavy
from tests.faults.jobs import Pace, Process, Site, wait_for
from tests.faults.work import APPLY_AND_LONG, EVERY_VERB, Work
from tests.plugins.fault_table import Faults

UNREACHABLE: Final = 5
PACE: Final = Pace(chunk_rows=20, batch_rows_max=8)
STEPS: Final = range(3, 21, 3)


@contextlib.contextmanager
def held_back(work: Work) -> Iterator[None]:
    """Let a verb that only reads wait for a lock, so that it has a middle to act in."""
    if work.verb != "verify":
        yield
        return
    keeper = psycopg.connect(work.site.dsn, application_name="author")
    try:
        keeper.execute("LOCK TABLE note IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        # Not left in order: the server may be gone, and the lock with it.
        keeper.close()


def terminate(site: Site) -> int:
    """End every session of the job, its own and those of its lanes; return how many."""
    return site.number(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'cleanup %'"
    )


def waits(site: Site) -> bool:
    """Whether a session of the job waits for a lock."""
    return (
        site.number(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'cleanup %' AND wait_event_type = 'Lock'"
        )
        > 0
    )


def in_the_middle(work: Work, process: Process, steps: int) -> None:
    """Wait until the verb has come so far, or, where it only reads, until it waits for its lock."""
    there: Callable[[], bool] = (lambda: waits(work.site)) if work.verb == "verify" else work.has_come_to(steps)
    wait_for(f"step {steps} of {work.verb}", there, process=process)


@heavy
def test_every_session_is_terminated_again_and_again(make_site: MakeSite, faults: Faults) -> None:
    site = make_site(200, PACE)
    for verb in EVERY_VERB:
        work = Work(site, verb, faults, "pg_terminate_backend of job and lanes, again and again")
        thrown_out = 0
        with held_back(work):
            process = work.start()
            for goal in STEPS:
                in_the_middle(work, process, goal)
                thrown_out += terminate(site)
        ended = work.end(process)
        assert thrown_out >= len(STEPS)
        assert '"sqlstate": "57P01", "error": "AdminShutdown", "cause": "session_lost"' in ended.err
        work.settle()


@heavy
@pytest.mark.parametrize("verb", EVERY_VERB)
def test_the_server_is_stopped_at_once_and_comes_back(
    make_site: MakeSite, own_server: Server, faults: Faults, verb: str
) -> None:
    """Well within the retries: the job goes on by itself."""
    work = Work(make_site(200, PACE, dsn=own_server.dsn()), verb, faults, "immediate stop and restart of the server")
    process = work.start()
    # What holds a verb back that only reads is gone with the server, so it has one middle alone.
    for goal in (5,) if verb == "verify" else (5, 15):
        with held_back(work):
            in_the_middle(work, process, goal)
            own_server.restart(StopMode.IMMEDIATE)
    work.end(process)
    work.settle()


@heavy
@pytest.mark.parametrize("verb", APPLY_AND_LONG)
def test_a_server_that_stays_away_ends_the_job_and_the_same_command_goes_on(
    make_site: MakeSite, own_server: Server, faults: Faults, verb: str
) -> None:
    site = make_site(200, PACE, dsn=own_server.dsn())
    work = Work(site, verb, faults, "SIGKILL of the server, which stays away")
    process = work.start()
    wait_for("step 5", work.has_come_to(5), process=process)
    own_server.kill()
    ended = work.end(process, expect=UNREACHABLE)
    assert "CLN-502 gave up after" in ended.err
    assert "no connection to" in ended.err
    assert "run the same command again" in ended.err
    assert process.lanes() == []
    own_server.restart()
    done = work.progress()
    assert done >= 5
    work.run_again()
    assert work.progress() > done
    work.settle()
