"""Checks of the tables' health: room, vacuum, locks, partitions on the move, old transactions, collations."""

from collections.abc import Iterator

import psycopg
import pytest

from cleanup.demo.server import Server
from tests.integration.checking import READS_ALL, Site, new_site
from tests.integration.jobs import Job, new_database, new_folder

ARCHIVE = """
CREATE TABLE old_post (id bigint, created_at timestamptz, body text, PRIMARY KEY (id, created_at))
    PARTITION BY RANGE (created_at);
CREATE TABLE old_post_1 PARTITION OF old_post FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE old_post_2 PARTITION OF old_post FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE TABLE newcomer (LIKE old_post INCLUDING ALL);
"""


@pytest.fixture(scope="module")
def site(server: Server) -> Iterator[Site]:
    """Posts and a ledger; each test undoes what it does."""
    with new_database(server) as dsn, new_folder() as folder:
        yield new_site(Job(dsn, folder, ""))


@pytest.fixture(autouse=True)
def plain_config(site: Site) -> None:
    site.configure()


@pytest.fixture
def archive(site: Site) -> Iterator[Site]:
    """A partitioned table takes the posts' place."""
    with site.meanwhile(ARCHIVE, "DROP TABLE old_post, newcomer"):
        site.configure(name="public.old_post")
        yield site


def test_full_pages_are_named_where_room_in_them_would_help(site: Site) -> None:
    done = """CREATE TABLE big (id bigint PRIMARY KEY, created_at timestamptz, body text);
        INSERT INTO big SELECT n, '2020-05-01', repeat('x', 400) FROM generate_series(1, 25000) AS n; ANALYZE big"""
    site.configure(name="public.big")
    with site.meanwhile(done, "DROP TABLE big"):
        found = site.one("fillfactor", "warn")
        assert found.value.startswith("100 on public.big")
        assert "newly written pages alone" in found.hint
        with site.meanwhile("CREATE INDEX by_text ON big (body)", "DROP INDEX by_text"):
            site.one("fillfactor", "ok")
        with site.meanwhile("ALTER TABLE big SET (fillfactor = 80)", "SELECT"):
            assert site.one("fillfactor", "ok").value == "80"


def test_a_table_that_vacuum_leaves_alone_is_named(site: Site) -> None:
    with site.meanwhile(
        "ALTER TABLE post SET (autovacuum_enabled = off)", "ALTER TABLE post RESET (autovacuum_enabled)"
    ):
        found = site.one("autovacuum", "warn")
    assert found.value == "public.post has autovacuum_enabled = off"
    assert "VACUUM" in found.hint


def test_dead_rows_are_counted(site: Site) -> None:
    done = """CREATE TABLE busy (id bigint PRIMARY KEY, created_at timestamptz, body text)
            WITH (autovacuum_enabled = off);
        INSERT INTO busy SELECT n, '2020-05-01', 'x' FROM generate_series(1, 2000) AS n;
        UPDATE busy SET body = 'y';
        SELECT pg_stat_force_next_flush()"""
    site.configure(name="public.busy")
    with site.meanwhile(done, "DROP TABLE busy"):
        value = site.one("autovacuum", "warn").value
    assert "public.busy has 2,000 dead rows beside 2,000" in value


def test_a_detach_that_was_broken_off_blocks(archive: Site) -> None:
    assert archive.one("partitions", "ok").value == "none is coming or going"
    with archive.session("SELECT FROM old_post"), psycopg.connect(archive.job.dsn, autocommit=True) as other:
        # It waits for the reader, and is broken off there: the partition is then neither in nor out.
        other.execute("SET statement_timeout = '200ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            other.execute("ALTER TABLE old_post DETACH PARTITION old_post_2 CONCURRENTLY")
    found = archive.one("partitions", "block")
    assert found.value.endswith("public.old_post_2")
    assert "FINALIZE" in found.hint


def test_an_attach_in_progress_is_seen(archive: Site) -> None:
    attach = "ALTER TABLE old_post ATTACH PARTITION newcomer FOR VALUES FROM ('2022-01-01') TO ('2023-01-01')"
    with archive.session(attach) as session:
        found = archive.one("partitions", "warn")
        assert f"session {session.info.backend_pid} holds ShareUpdateExclusiveLock on public.old_post" in found.value
    assert "wait" in found.hint


def test_a_strong_lock_on_the_posts_is_seen(site: Site) -> None:
    site.one("table-locks", "ok")
    with site.session("LOCK TABLE post IN SHARE MODE") as session:
        found = site.one("table-locks", "warn")
        assert found.value == f"client backend {session.info.backend_pid} holds ShareLock on public.post"
    assert "lock_timeout_ms" in found.hint


def test_an_exclusive_lock_on_the_posts_is_not_waited_out(site: Site) -> None:
    with site.session("LOCK TABLE post IN ACCESS EXCLUSIVE MODE"):
        assert "holds AccessExclusiveLock" in site.one("table-locks", "warn").value
        assert "locked by somebody" in site.one("write-statement", "warn").value
        site.configure(table='where = "id > 0"')
        found = site.one("table-locks", "block")
    assert found.value.startswith("somebody holds it locked")
    assert "pg_blocking_pids" in found.hint


def test_an_author_at_work_is_no_lock_to_speak_of(site: Site) -> None:
    with site.session("UPDATE post SET title = 'thesecretword' WHERE id = 3"):
        site.one("table-locks", "ok")
        site.one("partitions", "ok")


def test_old_transactions_are_named_by_their_session(site: Site) -> None:
    site.one("long-transactions", "ok")
    with site.session("SELECT set_config('application_name', 'thesecretword', true), txid_current()") as session:
        site.one("long-transactions", "ok")
        site.configure(check="long_transaction_seconds = 0")
        found = site.one("long-transactions", "warn")
        assert found.value.startswith(f"session {session.info.backend_pid} for ")
    assert "end them before the cutover" in found.hint
    site.one("long-transactions", "ok")


def test_sessions_that_are_hidden_are_not_taken_for_none(site: Site) -> None:
    with site.role(*READS_ALL) as role:
        found = site.one("long-transactions", "warn", role)
        assert found.value == "unknown: other roles' sessions are hidden from this role"
        assert "pg_monitor" in found.hint
        site.job.execute(f"GRANT pg_monitor TO {role}")
        site.one("long-transactions", "ok", role)


def test_a_collation_that_sorts_otherwise_than_it_did_blocks(site: Site, linguistic_collation: str) -> None:
    done = f"""{linguistic_collation};
        CREATE TABLE named (id text COLLATE linguistic PRIMARY KEY, created_at timestamptz, body text)"""
    site.configure(name="public.named")
    with site.meanwhile(done, "DROP TABLE named; DROP COLLATION linguistic"):
        site.one("collations", "ok")
        site.job.execute(
            "SET allow_system_table_mods = on;UPDATE pg_collation SET collversion = '0.0' WHERE collname = 'linguistic'"
        )
        found = site.one("collations", "block")
        assert found.value.startswith("linguistic: 0.0 then, ")
        assert "REINDEX" in found.hint
        assert 'acknowledge = ["collations:public.named"]' in found.hint
        site.job.execute("ALTER COLLATION linguistic REFRESH VERSION")
        site.one("collations", "ok")


def test_the_databases_own_collation_counts_where_an_index_uses_it(site: Site) -> None:
    name = site.job.execute("SELECT current_database()")[0][0]
    before = site.job.execute("SELECT datcollversion FROM pg_database WHERE datname = current_database()")[0][0]
    done = f"UPDATE pg_database SET datcollversion = '0.0' WHERE datname = '{name}'"
    value = "NULL" if before is None else f"'{before}'"
    undone = f"UPDATE pg_database SET datcollversion = {value} WHERE datname = '{name}'"
    with site.meanwhile(done, undone):
        site.one("collations", "ok")
        with site.meanwhile("CREATE INDEX by_text ON post (body)", "DROP INDEX by_text"):
            assert site.one("collations", "block").value.startswith("the database's own: 0.0 then, ")
