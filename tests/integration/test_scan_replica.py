"""`plan --scan-dsn`: the posts are read from a standby, and never from one that lacks what the plan has to see."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from cleanup.demo.server import Server
from tests.faults.jobs import Process, Site, wait_for
from tests.faults.said import events
from tests.integration.conftest import MakeSite
from tests.integration.standbys import standby_of

USAGE = 2
PREFLIGHT = 3
REFUSED = 1
INTERRUPTED = 4
_SCANNING = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'cleanup plan % scan'"


@contextmanager
def standby_behind(primary: Server, major: int) -> Iterator[Server]:
    """A standby that replays nothing any more, and so lacks what is committed from now on."""
    with standby_of(primary, major) as standby:
        ask(standby, "SELECT pg_wal_replay_pause()")
        wait_for("the pause", lambda: ask(standby, "SELECT pg_get_wal_replay_pause_state()") == "paused")
        yield standby


def ask(server: Server, query: str) -> object:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def chunks(site: Site) -> int:
    return site.number("SELECT count(*) FROM cleanup.chunk WHERE state = 'done'")


def waits_for_replica(process: Process) -> bool:
    return "chunk.awaits_replica" in process.said()


@pytest.fixture
def site(own_server: Server, make_site: MakeSite) -> Site:
    return make_site(own_server.dsn())


def test_a_standby_is_scanned_once_it_has_what_the_plan_has_to_see(site: Site, own_server: Server, major: int) -> None:
    """What was written before the plan began is in it, however late the standby is, and the digest is the same."""
    with standby_behind(own_server, major) as standby:
        site.do("UPDATE note SET body = body || ' https://item.taobao.com/item.htm?id=7' WHERE id = 3")
        process = site.start("plan", "--scan-dsn", standby.dsn())
        wait_for("a lane that waits for the standby", lambda: waits_for_replica(process), process=process)
        assert chunks(site) == 0
        assert ask(standby, _SCANNING) != 0, "the posts are read from elsewhere"
        assert ask(own_server, _SCANNING) == 0
        ask(standby, "SELECT pg_wal_replay_resume()::text")
        ended = process.end()
        assert ended.status == 0, ended.err
        site.approve(1)
        from_standby = site.findings_digest(1)
        site.run("plan")
        assert site.findings_digest(2) == from_standby
        site.run("apply", "1")
        site.run("verify", str(site.run_of(1)))


def test_a_plan_that_waits_for_a_standby_hears_a_signal(site: Site, own_server: Server, major: int) -> None:
    with standby_behind(own_server, major) as standby:
        site.do("UPDATE note SET author_id = 1 WHERE id = 3")
        process = site.start("plan", "--scan-dsn", standby.dsn())
        wait_for("a lane that waits for the standby", lambda: waits_for_replica(process), process=process)
        process.signal(signal.SIGTERM)
        ended = process.end()
        assert ended.status == INTERRUPTED, ended.err
        assert chunks(site) == 0
    # Goes on where it stood, on the primary now.
    again = site.run("plan")
    assert site.rows("SELECT plan_id, state FROM cleanup.plan") == [(1, "finished")]
    assert [one["plan"] for one in events(again.err) if one["event"] == "plan.finished"] == [1]


def test_only_a_standby_of_the_database_is_scanned(
    site: Site, own_server: Server, database_dsn: str, major: int
) -> None:
    other = site.run("plan", "--scan-dsn", database_dsn, expect=REFUSED)
    assert "CLN-107" in other.err
    primary = site.run("plan", "--scan-dsn", own_server.dsn(), expect=PREFLIGHT)
    assert "is no standby" in primary.err
    with standby_of(own_server, major) as standby:
        own_server.kill()
        assert ask(standby, "SELECT pg_promote()") is True
        site.dsn = standby.dsn()
        promoted = site.run("plan", "--scan-dsn", standby.dsn(), expect=PREFLIGHT)
        assert "is no standby" in promoted.err


def test_a_delta_plan_reads_the_primary(site: Site) -> None:
    site.run("plan")
    refused = site.run("plan", "--since", "1", "--scan-dsn", site.dsn, expect=USAGE)
    assert "leave --scan-dsn out" in refused.err
