"""Each signal is tripped on a real server: the run waits, says why, and goes on by itself."""

import json
import re
import signal as signals
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Thread

import psycopg
import pytest
from psycopg import sql

from cleanup.demo.server import Server
from tests.faults.jobs import Pace, Process, Site, slow_updates, wait_for
from tests.integration.asking import ask, clock, events, in_the_middle, lanes_at_the_gate, planned
from tests.integration.conftest import MakeSite
from tests.plugins.servers import WHEEL_MAJOR

LANES = 2
PACE = Pace(lanes=LANES, chunk_rows=20, batch_rows_max=8)
# What is the same on every version needs to be seen on one.
on_one_version = pytest.mark.parametrize("major", [WHEEL_MAJOR], ids=["pg18"], indirect=True)


@pytest.fixture
def pace() -> Pace:
    return PACE


def throttle(**settings: object) -> str:
    return "\n[throttle]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())


def told(site: Site, name: str) -> list[tuple[str, str]]:
    """Signals and reasons of the events of that name."""
    rows = site.rows(
        "SELECT detail ->> 'signal', detail ->> 'reason' FROM cleanup.event WHERE name = %s ORDER BY event_id", name
    )
    return [(str(signal), str(reason)) for signal, reason in rows]


def held(site: Site, process: Process, signal: str) -> str:
    """Wait until the run is held by that signal alone and every lane waits; the reason."""
    wait_for(
        f"a pause for {signal}",
        lambda: [name for name, _ in told(site, "throttle.paused")][-1:] == [signal],
        process=process,
    )
    lanes_at_the_gate(site, process, LANES)
    ((reason, states),) = site.rows("SELECT reason, signals FROM cleanup.throttle")
    assert isinstance(states, list)
    (state,) = [one for one in states if one["signal"] == signal]
    assert state["health"] in ("beyond its limit", "unreadable")
    assert told(site, "throttle.resumed") == []
    return str(reason)


def goes_on(site: Site, process: Process, signal: str) -> None:
    """Wait until the run goes on by itself, and see it end well, with all said once."""
    wait_for("the end of the pause", lambda: told(site, "throttle.resumed") != [], process=process)
    ended = process.end()
    assert ended.status == 0, ended.err
    assert [name for name, _ in told(site, "throttle.paused")] == [signal]
    assert [name for name, _ in told(site, "throttle.resumed")] == [signal]
    assert ended.err.count('"throttle.paused"') == ended.err.count('"throttle.resumed"') == 1
    run = site.last_run()
    site.require_sound(run, planned=planned(site, run))


def batches(site: Site) -> int:
    return site.number("SELECT count(*) FROM cleanup.batch")


# ------------------------------------------------------------------- signals of one database


def test_a_long_transaction_of_others_holds_the_run(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn, throttle(long_transaction_seconds=1))
    plan = site.approved_plan()
    with site.connect() as author:
        author.execute("BEGIN")
        author.execute("SELECT pg_current_xact_id()")
        # Beyond the limit before the run's first look, or its first batch would be on its way.
        old = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND now() - xact_start > interval '1.5 s'"
        wait_for("an old transaction", lambda: site.number(old, author.info.backend_pid) == 1)
        process = site.start("apply", str(plan))
        reason = held(site, process, "long_transaction")
        pid = author.info.backend_pid
        assert re.fullmatch(rf"long_transaction \S+ s, limit 1 \(session {pid} of postgres\)", reason), reason
        assert batches(site) == 0
        # A transaction that has no snapshot and has written nothing holds up no vacuum, however old.
        author.execute("ROLLBACK")
        author.execute("BEGIN")
        goes_on(site, process, "long_transaction")


def test_a_prepared_transaction_holds_the_run(own_server: Server, make_site: MakeSite) -> None:
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_prepared_transactions = 3")
    own_server.restart()
    site = make_site(own_server.dsn(), throttle(long_transaction_seconds=1))
    plan = site.approved_plan()
    site.do("BEGIN", "CREATE TABLE left_behind ()", "PREPARE TRANSACTION 'forgotten'")
    old = "SELECT count(*) FROM pg_prepared_xacts WHERE now() - prepared > interval '1.5 s'"
    wait_for("an old one", lambda: site.number(old) == 1)
    process = site.start("apply", str(plan))
    assert "(prepared transaction forgotten)" in held(site, process, "long_transaction")
    site.do("ROLLBACK PREPARED 'forgotten'")
    goes_on(site, process, "long_transaction")


GATE = (
    "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " IF current_setting('application_name') LIKE 'cleanup%' THEN PERFORM pg_advisory_xact_lock_shared(77); END IF;"
    " RETURN NEW; END $$",
    "CREATE TRIGGER gate BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION gate()",
)


def test_a_queue_of_authors_behind_a_batch_holds_the_run(database_dsn: str, make_site: MakeSite) -> None:
    pace = Pace(lanes=LANES, chunk_rows=50, batch_rows_max=1, lock_timeout_ms=60_000, lock_target_ms=10_000)
    site = make_site(database_dsn, throttle(lock_queue_sessions=1), pace=pace)
    site.do("TRUNCATE note_archive, comment", *GATE)
    plan = site.approved_plan()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'author' AND wait_event_type = 'Lock'"

    def write() -> None:
        site.do("UPDATE note SET body = body || '尾' WHERE id = 1")

    with site.connect() as keeper:
        keeper.execute("SELECT pg_advisory_lock(77)")
        process = site.start("apply", str(plan))
        locked = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'cleanup %' AND wait_event = 'advisory'"
        )
        wait_for("a batch that holds its row", lambda: site.number(locked) >= 1, process=process)
        # The second one waits for the first, and not for the batch itself: it stands behind it all the same.
        authors = [Thread(target=write) for _ in range(2)]
        for author in authors:
            author.start()
        wait_for("two authors who wait", lambda: site.number(waiting) == 2, process=process)
        wait_for("the pause", lambda: told(site, "throttle.paused") != [], process=process)
        settled = batches(site)
        keeper.execute("SELECT pg_advisory_unlock(77)")
    for author in authors:
        author.join()
    goes_on(site, process, "lock_queue")
    assert told(site, "throttle.paused") == [("lock_queue", "lock_queue 2 sessions, limit 1 (pg_locks)")]
    paused, resumed = site.rows(
        "SELECT min(at) FILTER (WHERE name = 'throttle.paused'), min(at) FILTER (WHERE name = 'throttle.resumed')"
        " FROM cleanup.event"
    )[0]
    assert settled < batches(site)
    within = "SELECT count(*) FROM cleanup.batch WHERE written_at > %s + interval '50 ms' AND written_at < %s"
    assert site.number(within, paused, resumed) == 0, "a batch opened although authors stood in a queue"


@contextmanager
def vacuum_at_work(site: Site) -> Iterator[Callable[[], None]]:
    """A vacuum of note that waits for a page somebody looks at; what is given lets it end."""

    def work() -> None:
        site.do("VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) note")

    with site.connect() as reader:
        reader.execute("BEGIN")
        reader.execute("DECLARE page CURSOR FOR SELECT ctid FROM note")
        reader.execute("FETCH page")
        vacuum = Thread(target=work)
        vacuum.start()
        wait_for("the vacuum", lambda: site.number("SELECT count(*) FROM pg_stat_progress_vacuum") == 1)
        yield lambda: (reader.execute("ROLLBACK"), None)[1]
    vacuum.join()


def test_a_vacuum_on_the_table_holds_the_run(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    plan = site.approved_plan()
    with vacuum_at_work(site) as let_it_end:
        process = site.start("apply", str(plan))
        assert held(site, process, "vacuum") == "vacuum 1 vacuums, limit 0 (public.note)"
        assert batches(site) == 0
        let_it_end()
        goes_on(site, process, "vacuum")


@pytest.mark.parametrize("how", ["query", "command"])
def test_a_disk_that_fills_holds_the_run(database_dsn: str, tmp_path: Path, make_site: MakeSite, how: str) -> None:
    free = tmp_path / "free"
    free.write_text(str(50 << 20))
    ways = {"query": '"SELECT bytes FROM public.free_disk"', "command": json.dumps(["cat", str(free)])}
    site = make_site(database_dsn, f"\n[check]\nfree_disk_{how} = {ways[how]}\n{throttle(disk_free_mib=100)}")
    site.do(f"CREATE TABLE free_disk AS SELECT {50 << 20}::bigint AS bytes")
    process = site.start("apply", str(site.approved_plan()))
    assert held(site, process, "disk_free") == f"disk_free 50 MiB, limit 100 (free_disk_{how})"
    free.write_text(str(126 << 20))
    site.do(f"UPDATE free_disk SET bytes = {126 << 20}")
    goes_on(site, process, "disk_free")


def test_a_window_that_is_closed_holds_the_run_and_can_be_overridden(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    opens = clock(site) + timedelta(hours=2)
    with site.config.open("a", encoding="utf-8") as file:
        spans = [f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}"]
        file.write(f'\n[window]\nonly_between = {json.dumps(spans)}\ntime_zone = "UTC"\n')
    process = site.start("apply", str(site.approved_plan()))
    reason = held(site, process, "window")
    assert re.fullmatch(rf"outside the window for another 1(19|20) min: {spans[0]} UTC", reason), reason
    ask(site, "set", str(site.last_run()), "throttle.window=ignore", "--reason", "the DBA on duty said so")
    goes_on(site, process, "window")
    assert told(site, "throttle.ignored") == [("window", "not looked at")]


# ------------------------------------------------------------------- signals of a whole server


def test_wal_that_a_slot_keeps_holds_the_run(own_server: Server, make_site: MakeSite) -> None:
    accepted = '\n[check]\nacknowledge = ["replication-slots:forgotten"]\n'
    site = make_site(own_server.dsn(), accepted + throttle(slot_wal_mib=1))
    plan = site.approved_plan()
    site.do(
        "SELECT pg_create_physical_replication_slot('forgotten', true)",
        "CREATE TABLE big AS SELECT repeat(md5(n::text), 100) FROM generate_series(1, 20000) AS n",
    )
    process = site.start("apply", str(plan))
    reason = held(site, process, "slot_wal")
    assert re.fullmatch(r"slot_wal \S+ MiB, limit 1 \(slot forgotten\)", reason), reason
    site.do("SELECT pg_drop_replication_slot('forgotten')")
    goes_on(site, process, "slot_wal")


@pytest.mark.parametrize("signal", ["archive_queue", "archive_failing"])
def test_an_archiver_that_fails_holds_the_run(own_server: Server, make_site: MakeSite, signal: str) -> None:
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET archive_mode = on")
        connection.execute("ALTER SYSTEM SET archive_command = 'false'")
    own_server.restart()
    limit = {"archive_queue": "archive_queue_files", "archive_failing": "archive_failing_seconds"}[signal]
    other = ({"archive_queue", "archive_failing"} - {signal}).pop()
    site = make_site(own_server.dsn(), throttle(ignore=[other], **{limit: 0}))
    plan = site.approved_plan()
    site.do("SELECT pg_switch_wal()")
    failed = "SELECT count(*) FROM pg_stat_archiver WHERE failed_count > 0"
    wait_for("a failure of the archiver", lambda: site.number(failed) == 1)
    process = site.start("apply", str(plan))
    reason = held(site, process, signal)
    said = {
        "archive_queue": r"\S+ files, limit 0 \(files in archive_status\)",
        "archive_failing": r"\S+ s, limit 0 \(.*\)",
    }
    assert re.fullmatch(f"{signal} {said[signal]}", reason), reason
    site.do("ALTER SYSTEM SET archive_command = 'true'", "SELECT pg_reload_conf()", "SELECT pg_switch_wal()")
    goes_on(site, process, signal)


# ------------------------------------------------------------------- what can not be read


@pytest.fixture
def role(database_dsn: str) -> Iterator[str]:
    """A role that owns the test's database and may see nothing of others."""
    name = "seer_" + psycopg.conninfo.conninfo_to_dict(database_dsn)["dbname"][-30:]  # type: ignore[index]  # it has one
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        connection.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(
                sql.Identifier(connection.info.dbname), sql.Identifier(name)
            )
        )
        connection.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(name)))
    yield psycopg.conninfo.make_conninfo(database_dsn, user=name)
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("REASSIGN OWNED BY {} TO postgres").format(sql.Identifier(name)))
        connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_a_signal_that_can_not_be_read_holds_the_run(database_dsn: str, role: str, make_site: MakeSite) -> None:
    site = make_site(role)
    process = site.start("apply", str(site.approved_plan()))
    reason = held(site, process, "long_transaction")
    assert reason.startswith("long_transaction can not be read: the role may not see it: GRANT pg_monitor to it")
    assert batches(site) == 0
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        user = str(psycopg.conninfo.conninfo_to_dict(role)["user"])
        connection.execute(sql.SQL("GRANT pg_monitor TO {}").format(sql.Identifier(user)))
    goes_on(site, process, "long_transaction")


def test_a_signal_may_be_accepted_by_name_and_that_is_recorded(role: str, make_site: MakeSite) -> None:
    site = make_site(role, throttle(accept_unreadable=["long_transaction"]))
    site.run("apply", str(site.approved_plan()))
    assert told(site, "throttle.paused") == []
    ((signal, reason),) = told(site, "throttle.accepted")
    assert signal == "long_transaction"
    assert "the role may not see it" in reason


# ------------------------------------------------------------------- the word on the signals


@on_one_version
def test_a_pause_that_lasts_too_long_raises_one_alert(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn, throttle(long_transaction_seconds=0, alert_after_seconds=1))
    plan = site.approved_plan()
    with site.connect() as author:
        author.execute("BEGIN")
        author.execute("SELECT pg_current_xact_id()")
        process = site.start("apply", str(plan))
        held(site, process, "long_transaction")
        wait_for("an alert", lambda: told(site, "throttle.alert") != [], process=process)
        read_at = clock(site)
        wait_for(
            "two more looks",
            lambda: (
                site.number("SELECT count(*) FROM cleanup.throttle WHERE read_at > %s + interval '3 s'", read_at) == 1
            ),
            process=process,
        )
        author.execute("ROLLBACK")
        goes_on(site, process, "long_transaction")
    ((signal, reason),) = told(site, "throttle.alert")
    assert signal == "long_transaction"
    assert "limit 0" in reason


@on_one_version
def test_a_pause_that_somebody_forgot_raises_an_alert(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn, throttle(alert_after_seconds=1))
    site.do(*GATE)
    plan = site.approved_plan()
    with site.connect() as keeper:
        keeper.execute("SELECT pg_advisory_lock(77)")
        process = site.start("apply", str(plan))
        wait_for("the run", lambda: site.number("SELECT count(*) FROM cleanup.run") == 1, process=process)
        run = site.last_run()
        ask(site, "pause", str(run), "--reason", "a look at the posts")
    wait_for("an alert", lambda: told(site, "throttle.alert") != [], process=process)
    ask(site, "resume", str(run))
    assert process.end().status == 0
    assert told(site, "throttle.alert") == [("pause", "a look at the posts")]
    assert "run.paused" in events(site, run)


@on_one_version
def test_lanes_write_nothing_on_a_word_that_is_old(database_dsn: str, make_site: MakeSite) -> None:
    """The job stands still and its lanes do not: nobody looks at the signals, so nobody writes."""
    site = make_site(database_dsn, rows=150)
    for table in ("note", "note_archive", "comment"):
        slow_updates(site, table, 20)
    process = site.start("apply", str(site.approved_plan()))
    in_the_middle(site, process)
    process.signal(signals.SIGSTOP)
    site.do("UPDATE cleanup.throttle SET read_at = read_at - interval '1 minute'")
    lanes_at_the_gate(site, process, LANES)
    stood = batches(site)
    lanes_at_the_gate(site, process, LANES)
    assert batches(site) == stood
    process.signal(signals.SIGCONT)
    assert process.end().status == 0


@on_one_version
def test_another_job_takes_the_watch_over(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn, throttle(long_transaction_seconds=0), rows=150)
    plan = site.approved_plan()
    reader = "SELECT reader FROM cleanup.throttle"
    with site.connect() as author:
        author.execute("BEGIN")
        author.execute("SELECT pg_current_xact_id()")
        first = site.start("apply", str(plan))
        held(site, first, "long_transaction")
        watching = site.value(reader)
        second = site.start("apply", str(plan))
        lanes_at_the_gate(site, second, 2 * LANES)
        # The second one says why it waits as well; the ledger is told once.
        wait_for("its word", lambda: '"throttle.paused"' in second.said(), process=second)
        assert site.value(reader) == watching
        first.kill()
        wait_for("another watch", lambda: site.value(reader) != watching, process=second)
        author.execute("ROLLBACK")
        goes_on(site, second, "long_transaction")


@on_one_version
def test_a_run_keeps_its_wal_limit(own_server: Server, make_site: MakeSite) -> None:
    """Long texts, so that there is something to write: 12 MiB of WAL at 3 MiB/s take at least 3 s, and not 30."""
    site = make_site(own_server.dsn(), pace=Pace(lanes=LANES, chunk_rows=50, batch_rows_max=20), rows=0)
    site.config.write_text(site.config.read_text().replace("[pace]", "[pace]\nwal_mib_per_second = 3"))
    site.do(
        "INSERT INTO note SELECT n, 1, '2021-01-01', false, 't', 'https://item.taobao.com/item.htm?id=' || n || ' '"
        " || (SELECT string_agg(md5(n::text || m), ' ') FROM generate_series(1, 180) AS m)"
        " FROM generate_series(1, 1500) AS n",
        "CHECKPOINT",
    )
    plan = site.approved_plan()
    process = site.start("apply", str(plan))
    limited = "SELECT count(*) FROM cleanup.throttle WHERE not_before > read_at"
    wait_for("a batch that has to wait", lambda: site.number(limited) == 1, process=process)
    ended = process.end()
    assert ended.status == 0, ended.err
    assert told(site, "throttle.paused") == []
    ((written, seconds),) = site.rows(
        "SELECT (SELECT sum(pg_column_size(body)) FROM note)::bigint,"
        " extract(epoch FROM max(written_at) - min(written_at))::float8 FROM cleanup.batch"
    )
    assert isinstance(written, int)
    assert isinstance(seconds, float)
    # Each post was written at least once, beside all that goes with it; a second's worth may come at once.
    assert written < (3 << 20) * (seconds + 2)
    assert seconds < 60
