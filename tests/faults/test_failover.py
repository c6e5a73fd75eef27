"""A standby takes over in the middle of a run: the job goes on there, from what the ledger there says."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import psycopg
import pytest

from cleanup.db.batches import checkpoint
from cleanup.db.chunks import Chunk, finish_chunk
from cleanup.db.connection import open_connection
from cleanup.db.run_chunks import claim_run_chunk, end_pass
from cleanup.demo.server import Server
from tests.faults.conftest import MakeSite, heavy
from tests.faults.jobs import Pace, Site, wait_for
from tests.faults.said import events
from tests.faults.stepping import Stepping
from tests.faults.work import APPLY_AND_LONG, WITH_LANES, Work
from tests.integration.standbys import standby_of
from tests.plugins.fault_table import Faults

PREFLIGHT: Final = 3
PACE: Final = Pace(chunk_rows=100, batch_rows_max=8)


def either(primary: Server, standby: Server) -> str:
    """A connection string that leads to whichever of the two can be written."""
    return psycopg.conninfo.make_conninfo(
        primary.dsn(), host=f"{primary.host},{standby.host}", port="5432,5432", target_session_attrs="read-write"
    )


def set_on(server: Server, name: str, value: str) -> None:
    """Set a parameter of one server alone, which works on a standby too."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        connection.execute("SELECT pg_reload_conf()")

    def is_set() -> bool:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            return connection.execute(f"SHOW {name}".encode()).fetchone() == (value,)

    wait_for(f"{name} = {value!r}", is_set)


def promote(standby: Server) -> None:
    """Let the standby take over."""
    with psycopg.connect(standby.dsn(), autocommit=True) as connection:
        assert connection.execute("SELECT pg_promote()").fetchone() == (True,)


def cut_off(primary: Server, standby: Server) -> None:
    """Let the standby receive nothing any more: its receiver has really ended when this returns."""
    set_on(standby, "primary_conninfo", "")
    with (
        psycopg.connect(primary.dsn(), autocommit=True) as of_primary,
        psycopg.connect(standby.dsn(), autocommit=True) as of_standby,
    ):

        def nobody_streams() -> bool:
            receivers = of_standby.execute("SELECT count(*) FROM pg_stat_wal_receiver").fetchone()
            senders = of_primary.execute("SELECT count(*) FROM pg_stat_replication").fetchone()
            return (receivers, senders) == ((0,), (0,))

        wait_for("the end of streaming", nobody_streams)


def has_streamed(primary: Server) -> bool:
    """Whether the standby has all that the primary has."""
    with psycopg.connect(primary.dsn(), autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_insert_lsn()"
        ).fetchone()
    return row == (1,)


def progress_on(server: Server, work: Work) -> int:
    """How many chunks or batches this one of the two servers knows of."""
    both, work.site.dsn = work.site.dsn, server.dsn()
    try:
        return work.progress()
    finally:
        work.site.dsn = both


@contextlib.contextmanager
def pair(make_site: MakeSite, primary: Server, major: int, rows: int) -> Iterator[tuple[Site, Server]]:
    """A site whose primary has a standby; nothing is written to the posts yet."""
    made = make_site(rows, PACE, dsn=primary.dsn())
    with standby_of(primary, major) as standby:
        wait_for("the standby", lambda: has_streamed(primary))
        made.dsn = either(primary, standby)
        yield made, standby


@heavy
@pytest.mark.parametrize("verb", APPLY_AND_LONG)
def test_a_synchronous_standby_takes_over(
    make_site: MakeSite, own_server: Server, faults: Faults, major: int, verb: str
) -> None:
    """Nothing that was committed is lost, so the job goes on by itself as if nothing had been."""
    with pair(make_site, own_server, major, 200) as (site, standby):
        work = Work(site, verb, faults, "failover to a synchronous standby")
        set_on(own_server, "synchronous_standby_names", "*")
        process = work.start()
        wait_for("the middle of the work", work.has_come_to(5), process=process)
        own_server.kill()
        promote(standby)
        ended = work.end(process)
        assert '"event": "transaction.retried"' in ended.err
        work.settle()


@heavy
@pytest.mark.parametrize("verb", WITH_LANES)
def test_an_asynchronous_standby_takes_over_that_lacks_the_last_commits(
    make_site: MakeSite, own_server: Server, faults: Faults, major: int, verb: str
) -> None:
    """The ledger has gone back together with the posts: lanes that know better do that part again."""
    with pair(make_site, own_server, major, 1200) as (site, standby):
        work = Work(site, verb, faults, "failover to an asynchronous standby, which lacks commits")
        process = work.start()
        wait_for("the beginning of the work", work.has_come_to(3), process=process)
        with process.frozen():
            cut_off(own_server, standby)
            had = work.progress()
        wait_for("commits that the standby has not", work.has_come_to(had + 8), process=process)
        with process.frozen():
            own_server.kill()
            assert progress_on(standby, work) <= had, "the standby lacked nothing: the test proves nothing"
            promote(standby)
        ended = work.end(process)
        work.settle()
        if verb != "plan":
            require_heads_that_are_ahead(work, ended.err)


def require_heads_that_are_ahead(work: Work, said: str) -> None:
    """Who kept the heads of the log events has some that the ledger never heard of, and none of them counts."""
    logged = [str(event["head"]) for event in events(said) if event["event"] == "batch.committed"]
    kept = {str(head) for (head,) in work.site.rows("SELECT encode(head, 'hex') FROM cleanup.batch")}
    ahead = [head for head in logged if head not in kept]
    assert ahead, "no commit was lost: the test proves nothing"
    # The run's own head was made at its end, from the ledger as it was then.
    closed = [event for event in events(said) if event["event"] == "run.finished"]
    head = work.site.value("SELECT encode(log_head, 'hex') FROM cleanup.run WHERE run_id = %s", work.run)
    assert [event["log_head"] for event in closed] == [head]
    verified = work.site.run("verify", str(work.run))
    assert "change log: whole" in verified.out


@heavy
def test_a_standby_that_nobody_promotes_is_not_written(
    make_site: MakeSite, own_server: Server, major: int, faults: Faults
) -> None:
    """Who names the standby alone is told so at once, and who loses the primary for good is told so in time."""
    with pair(make_site, own_server, major, 60) as (site, standby):
        work = Work(site, "apply", faults, "the address leads to a standby")
        ended = site.start(*work.words, through=standby.dsn()).end()
        assert ended.status == PREFLIGHT, ended.err
        assert "leads to a standby, which can not be written" in ended.err
        assert "target_session_attrs=read-write" in ended.err
        assert site.number("SELECT count(*) FROM cleanup.run") == 0
        work.run_again()
        work.settle()


# ------------------------------------------------------------ what the ledger asks of a lane that may know too much


def test_a_pass_ends_only_where_the_ledger_has_come_as_far_as_the_lane(make_site: MakeSite, stepping: Stepping) -> None:
    site = make_site(30, Pace(lanes=1, chunk_rows=1_000))
    run = stepping.apply(site, stepping.plan(site))
    site.tamper(
        "UPDATE cleanup.run_chunk SET state = 'open' WHERE chunk_number = 1",
        "UPDATE cleanup.run SET state = 'running', finished_at = NULL, log_head = NULL",
    )
    with open_connection(site.dsn, "a lane") as lane:
        chunk = claim_run_chunk(lane, run, 3_600)
        assert chunk is not None
        position = checkpoint(lane, run, chunk)
        assert not end_pass(lane, run, chunk, position + 1)
        assert not end_pass(lane, run, chunk, position - 1)
        assert end_pass(lane, run, chunk, position)
        assert not end_pass(lane, run, chunk, position), "ended twice"


def test_a_chunk_is_finished_only_with_its_own_keys(make_site: MakeSite, stepping: Stepping) -> None:
    site = make_site(30, Pace(lanes=1, chunk_rows=10))
    plan = stepping.plan(site)
    keys = "SELECT chunk_number, leaf_number, after_key, through_key, attempt FROM cleanup.chunk WHERE chunk_number = 2"
    ((number, leaf, after, through, attempt),) = site.rows(keys)
    assert isinstance(after, list)
    assert isinstance(through, list)
    chunk = Chunk(int(str(number)), int(str(leaf)), tuple(after), tuple(through), int(str(attempt)))
    undone = "state = 'claimed', counts = NULL, findings = NULL, actionable = NULL"
    site.tamper(f"UPDATE cleanup.chunk SET {undone} WHERE chunk_number = {number}")
    with open_connection(site.dsn, "a lane") as lane:
        others = replace(chunk, through_key=("9999",)), replace(chunk, after_key=None), replace(chunk, leaf_number=2)
        for other in others:
            assert not finish_chunk(lane, plan, other, 0, 0, {})
        assert finish_chunk(lane, plan, chunk, 0, 0, {})
