"""Sessions that are terminated and servers that go away: the job tries again, or the same command goes on."""

import contextlib
import re
import signal
from collections.abc import Callable, Iterator
from typing import Final

import psycopg
import pytest

from cleanup.db.connection import open_connection
from cleanup.db.retry import PATIENCE, Cause
from cleanup.demo.server import Server, StopMode
from tests.faults.conftest import MakeSite, heavy
from tests.faults.jobs import Ended, Pace, Process, Site, wait_for
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


def attempts_of(ended: Ended) -> int:
    """How many attempts the job made before it gave up."""
    found = re.search(r"gave up after (\d+) attempts", ended.err)
    assert found, ended.err
    return int(found[1])


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
    assert attempts_of(ended) >= PATIENCE[Cause.SESSION_LOST].attempts
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


@heavy
@pytest.mark.parametrize("verb", APPLY_AND_LONG)
def test_a_job_that_waits_for_its_server_hears_that_it_is_to_stop(
    make_site: MakeSite, own_server: Server, faults: Faults, verb: str
) -> None:
    site = make_site(200, PACE, dsn=own_server.dsn())
    work = Work(site, verb, faults, "SIGTERM while the server is away")
    process = work.start()
    wait_for("step 5", work.has_come_to(5), process=process)
    own_server.kill()
    wait_for("another attempt", lambda: "transaction.retried" in process.said(), process=process)
    process.signal(signal.SIGTERM)
    ended = work.end(process, expect=UNREACHABLE)
    assert "job.stop_asked" in ended.err
    assert attempts_of(ended) < PATIENCE[Cause.SESSION_LOST].attempts, "it waited as long as without the signal"
    assert process.lanes() == []
    own_server.restart()
    work.run_again()
    work.settle()


def test_a_host_that_vanishes_is_not_waited_for_by_the_kernel_s_measure(make_site: MakeSite) -> None:
    with open_connection(make_site(0, PACE).dsn, "patience") as connection:
        settings = connection.info.get_parameters()
    assert (settings["connect_timeout"], settings["tcp_user_timeout"]) == ("10", "40000")
    assert settings["keepalives_idle"] == "20"


def test_what_the_operator_says_of_the_network_holds(make_site: MakeSite) -> None:
    dsn = f"{make_site(0, PACE).dsn} connect_timeout=77 keepalives_idle=99"
    with open_connection(dsn, "patience") as connection:
        settings = connection.info.get_parameters()
    assert (settings["connect_timeout"], settings["keepalives_idle"]) == ("77", "99")
    assert settings["keepalives_interval"] == "5"
