"""A standby that falls behind: the run waits within seconds, says for whom, and goes on once it has caught up."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg

from cleanup.demo.server import Server
from tests.faults.conftest import MakeSite, heavy
from tests.faults.jobs import Pace, Process, Site, slow_updates, wait_for
from tests.integration.standbys import standby_of

# The issue's own: how soon the run is held, and how soon it goes on.
SECONDS = 5.0
PACE = Pace(chunk_rows=20, batch_rows_max=8)
TOLD = "SELECT count(*) FROM cleanup.event WHERE name = %s AND detail ->> 'signal' = 'replica_lag'"


def slow_site(make_site: MakeSite, dsn: str, **settings: object) -> Site:
    """A site whose runs last until somebody has looked."""
    site = make_site(600, PACE, dsn=dsn)
    with site.config.open("a", encoding="utf-8") as file:
        file.write("\n[throttle]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    for table in ("note", "note_archive", "comment"):
        slow_updates(site, table, 10)
    return site


@contextmanager
def replay_paused(standby: Server) -> Iterator[None]:
    with psycopg.connect(standby.dsn(), autocommit=True) as connection:
        connection.execute("SELECT pg_wal_replay_pause()")
        wait_for(
            "the pause", lambda: connection.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() == ("paused",)
        )
        try:
            yield
        finally:
            connection.execute("SELECT pg_wal_replay_resume()")


def in_the_middle(site: Site, process: Process) -> None:
    wait_for("batches", lambda: site.number("SELECT count(*) FROM cleanup.batch") >= 5, process=process)


def seconds_until(site: Site, process: Process, event: str, since: datetime) -> float:
    """How long after an instant of the server's clock the event was recorded."""
    wait_for(event, lambda: site.number(f"{TOLD} AND at > %s", event, since) == 1, process=process)
    at = site.value("SELECT max(at) FROM cleanup.event WHERE name = %s", event)
    assert isinstance(at, datetime)
    return (at - since).total_seconds()


def now_of(site: Site) -> datetime:
    now = site.value("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    return now


def ends_well(site: Site, process: Process) -> None:
    ended = process.end()
    assert ended.status == 0, ended.err
    run = site.last_run()
    site.require_sound(run, planned=site.number("SELECT planned FROM cleanup.run WHERE run_id = %s", run))


@heavy
def test_apply_waits_for_a_standby_whose_replay_is_paused(own_server: Server, major: int, make_site: MakeSite) -> None:
    site = slow_site(make_site, own_server.dsn(), replica_lag_seconds=1)
    plan = site.approved_plan()
    with standby_of(own_server, major) as standby:
        process = site.start("apply", str(plan))
        in_the_middle(site, process)
        with replay_paused(standby):
            since = now_of(site)
            assert seconds_until(site, process, "throttle.paused", since) < SECONDS
            ((reason, signals),) = site.rows("SELECT reason, signals FROM cleanup.throttle")
            assert str(reason).startswith("replica_lag ")
            assert "limit 1 (walreceiver, " in str(reason)
            assert isinstance(signals, list)
            assert site.number("SELECT count(*) FROM cleanup.run_chunk WHERE state <> 'done'") > 0
            since = now_of(site)
        assert seconds_until(site, process, "throttle.resumed", since) < SECONDS
        ends_well(site, process)
    paused, resumed = site.rows(
        "SELECT min(at) FILTER (WHERE name = 'throttle.paused'), max(at) FILTER (WHERE name = 'throttle.resumed')"
        " FROM cleanup.event"
    )[0]
    within = "SELECT count(*) FROM cleanup.batch WHERE written_at > %s + interval '50 ms' AND written_at < %s"
    assert site.number(within, paused, resumed) == 0


@heavy
def test_a_replica_is_asked_itself_where_the_config_names_it(
    own_server: Server, major: int, make_site: MakeSite
) -> None:
    with standby_of(own_server, major) as standby:
        # The primary's own view is left out, so that it is the replica's word that holds the run.
        site = slow_site(
            make_site,
            own_server.dsn(),
            replica_lag_seconds=1,
            replicas=[standby.dsn()],
            replicas_left_out=["walreceiver"],
        )
        process = site.start("apply", str(site.approved_plan()))
        in_the_middle(site, process)
        with replay_paused(standby):
            assert seconds_until(site, process, "throttle.paused", now_of(site)) < SECONDS
            assert f"host={standby.host}" in str(site.value("SELECT reason FROM cleanup.throttle"))
        wait_for("the end of the pause", lambda: site.number(TOLD, "throttle.resumed") == 1, process=process)
        # A replica that does not answer is not well.
        standby.stop()
        wait_for("a second pause", lambda: site.number(TOLD, "throttle.paused") == 2, process=process)
        assert "replica_lag can not be read: " in str(site.value("SELECT reason FROM cleanup.throttle"))
        standby.restart()
        wait_for("the end of it", lambda: site.number(TOLD, "throttle.resumed") == 2, process=process)
        ends_well(site, process)


@heavy
def test_a_server_that_is_no_replica_of_ours_is_no_replica(
    own_server: Server, server: Server, make_site: MakeSite
) -> None:
    site = slow_site(make_site, own_server.dsn(), replicas=[server.dsn()])
    process = site.start("apply", str(site.approved_plan()))
    wait_for("a pause", lambda: site.number(TOLD, "throttle.paused") == 1, process=process)
    assert "is no replica of this server" in str(site.value("SELECT reason FROM cleanup.throttle"))
    assert site.number("SELECT count(*) FROM cleanup.batch") == 0
