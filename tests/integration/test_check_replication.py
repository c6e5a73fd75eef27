"""Checks of replication: publications, slots, streams and subscriptions, on a server that replicates."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from cleanup.db.check_health import old_xmins
from cleanup.demo.server import Server
from tests.integration.checking import READS_ALL, Site, new_site
from tests.integration.jobs import Job, new_database, new_folder
from tests.integration.standbys import standby_of
from tests.plugins.servers import binaries_of


@pytest.fixture(scope="module")
def replicating(major: int) -> Iterator[Server]:
    """A server whose WAL is rich enough for subscribers."""
    with Server.start(binaries_of(major), settings={"wal_level": "logical"}) as server:
        yield server


@pytest.fixture(scope="module")
def site(replicating: Server) -> Iterator[Site]:
    """Posts and a ledger; each test undoes what it does."""
    with new_database(replicating) as dsn, new_folder() as folder:
        yield new_site(Job(dsn, folder, ""))


@pytest.fixture(autouse=True)
def plain_config(site: Site) -> None:
    site.configure()


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        ("FOR ALL TABLES", "is FOR ALL TABLES"),
        ("FOR TABLES IN SCHEMA cleanup", "names it or its schema"),
        ("FOR TABLE cleanup.change_log", "names it or its schema"),
    ],
)
def test_a_publication_that_carries_the_ledger_blocks(site: Site, scope: str, value: str) -> None:
    with site.meanwhile(f"CREATE PUBLICATION carrying {scope}", "DROP PUBLICATION carrying"):
        found = site.one("publication-ledger", "block")
    assert found.subject == "carrying"
    assert found.value.startswith(value)
    assert 'acknowledge = ["publication-ledger:carrying"]' in found.hint


def test_a_publication_that_carries_the_posts_is_named(site: Site) -> None:
    with site.meanwhile("CREATE PUBLICATION posts FOR TABLE post", "DROP PUBLICATION posts"):
        site.one("publication-ledger", "ok")
        found = site.one("publications", "warn")
        assert found.value == "changed rows go to the subscribers of posts"
        assert "tell whoever reads them" in found.hint
    for harmless in ("FOR TABLE post (id, title)", "FOR TABLE post WITH (publish = 'insert')"):
        with site.meanwhile(f"CREATE PUBLICATION posts {harmless}", "DROP PUBLICATION posts"):
            site.one("publications", "ok")


def test_a_published_table_that_no_update_can_reach_blocks(site: Site) -> None:
    done = """CREATE TABLE loose (id bigint NOT NULL UNIQUE, created_at timestamptz, body text);
        CREATE PUBLICATION loose FOR TABLE loose"""
    site.configure(name="public.loose", table='key = ["id"]')
    with site.meanwhile(done, "DROP PUBLICATION loose; DROP TABLE loose"):
        found = site.one("replica-identity", "block")
        assert found.value.startswith("published without one: public.loose")
        assert "REPLICA IDENTITY USING INDEX" in found.hint
        # The server says the same of the statement itself.
        assert "SQLSTATE 55000" in site.one("write-statement", "block").value
        site.job.execute("ALTER TABLE loose REPLICA IDENTITY USING INDEX loose_id_key")
        site.one("replica-identity", "ok")
        site.job.execute("ALTER TABLE loose REPLICA IDENTITY FULL")
        full = site.one("replica-identity", "warn")
        assert full.value.startswith("FULL on public.loose: each old text")
        site.one("write-statement", "ok")


def test_partitions_are_published_through_their_table(site: Site) -> None:
    done = """CREATE TABLE old_post (id bigint NOT NULL, created_at timestamptz NOT NULL, body text,
            UNIQUE (id, created_at)) PARTITION BY RANGE (created_at);
        CREATE TABLE old_post_1 PARTITION OF old_post FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
        CREATE PUBLICATION old FOR TABLE old_post WITH (publish_via_partition_root = true)"""
    site.configure(name="public.old_post", table='key = ["id", "created_at"]')
    with site.meanwhile(done, "DROP PUBLICATION old; DROP TABLE old_post"):
        assert "public.old_post_1" in site.one("replica-identity", "block").value
        site.one("publications", "warn")


def test_a_slot_that_nobody_reads_blocks(site: Site, replicating: Server) -> None:
    assert site.one("replication-slots", "ok").value == "there is none"
    with site.meanwhile(
        "SELECT pg_create_physical_replication_slot('away', true)", "SELECT pg_drop_replication_slot('away')"
    ):
        found = site.one("replication-slots", "block")
        assert (found.subject, found.value[:33]) == ("away", "nobody reads it: physical, keeps ")
        assert 'acknowledge = ["replication-slots:away"]' in found.hint
        with receiving(replicating, "away"):
            site.one("replication-slots", "ok")
            site.one("standbys", "ok")
            with site.role(*READS_ALL) as role:
                hidden = site.one("standbys", "warn", role)
    assert hidden.value == "unknown: 1 stream(s) of WAL are hidden from this role"


@contextmanager
def receiving(server: Server, slot: str) -> Iterator[None]:
    """Somebody who streams the server's WAL through that slot."""
    with new_folder() as folder:
        words = [server.program("pg_receivewal"), "--directory", str(folder), "--dbname", server.dsn(), "--slot", slot]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            job = Job(server.dsn(), folder, "")
            streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
            wait(lambda: job.number(streaming) == 1)
            try:
                yield
            finally:
                process.terminate()
                process.wait()
                wait(lambda: job.number("SELECT count(*) FROM pg_replication_slots WHERE active") == 0)


def test_commits_that_wait_for_a_standby_are_a_warning(site: Site) -> None:
    with site.meanwhile("ALTER SYSTEM SET synchronous_standby_names = 'elsewhere'", "SELECT"):
        try:
            show(site, "elsewhere")
            found = site.one("standbys", "warn")
        finally:
            site.job.execute("ALTER SYSTEM RESET synchronous_standby_names")
            show(site, "")
    assert found.value == "every commit waits for a standby (elsewhere)"
    assert "holds up each batch" in found.hint


def wait(condition: Callable[[], bool]) -> None:
    """Ask again until it is so; each question is a round trip to a server."""
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up


def show(site: Site, wanted: str) -> None:
    """Have the server read its settings, and see that it has."""
    site.job.execute("SELECT pg_reload_conf()")
    wait(lambda: site.job.execute("SHOW synchronous_standby_names") == [(wanted,)])


def test_posts_that_a_subscription_fills_block(site: Site, replicating: Server) -> None:
    with new_database(replicating) as dsn:
        publisher = Job(dsn, site.job.folder, "")
        site.configure()
        publisher.execute("CREATE TABLE post (id bigint PRIMARY KEY, created_at timestamptz, body text)")
        publisher.execute("CREATE PUBLICATION source FOR TABLE post")
        publisher.execute("SELECT pg_create_logical_replication_slot('source', 'pgoutput')")
        done = f"""CREATE SUBSCRIPTION filled CONNECTION '{dsn} password=thesecretword' PUBLICATION source
            WITH (create_slot = false, slot_name = 'source', enabled = false)"""
        site.one("subscriptions", "ok")
        with site.meanwhile(done, "SELECT"):
            try:
                found = site.one("subscriptions", "block")
            finally:
                site.job.execute("ALTER SUBSCRIPTION filled SET (slot_name = NONE)")
                site.job.execute("DROP SUBSCRIPTION filled")
                publisher.execute("SELECT pg_drop_replication_slot('source')")
    assert found.value.startswith("filled by subscription filled")
    assert "run the job on the publisher" in found.hint


def test_a_standby_is_well_until_it_falls_behind(site: Site, replicating: Server, major: int) -> None:
    with standby_of(replicating, major) as standby:
        on_standby = Job(standby.dsn(), site.job.folder, "")
        site.configure()
        assert site.one("replication-slots", "ok").subject == "standby"
        assert site.one("standbys", "ok").value == "walreceiver (async)"
        with psycopg.connect(site.job.dsn, autocommit=True) as connection:
            # Its feedback holds our dead rows, which the slot knows of.
            wait(lambda: [one.what for one in old_xmins(connection, 0)] == ["slot standby"])
            assert old_xmins(connection, 1_000_000) == []
            on_standby.execute("SELECT pg_wal_replay_pause()")
            wait(lambda: on_standby.execute("SELECT pg_get_wal_replay_pause_state()") == [("paused",)])
            connection.execute(
                "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1 << 20)) FROM generate_series(1, 70)"
            )
            wait(lambda: site.check("standbys")[0].level == "warn")
        found = site.one("standbys", "warn")
        assert found.value.startswith("behind: walreceiver by ")
        assert "wait until it has caught up" in found.hint
        on_standby.execute("SELECT pg_wal_replay_resume()")
    site.job.execute("SELECT pg_drop_replication_slot('standby')")
