"""Other transactions in the way: deadlocks, storms of locks, serialization failures. The job is the one that yields."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import pytest
from psycopg import sql

from tests.faults.conftest import MakeSite, heavy
from tests.faults.jobs import DEADLINE_SECONDS, Connection, Pace, Process, Site, wait_for
from tests.faults.work import APPLY_AND_ROLLBACK_LONG, WITH_LANES, WRITERS, Work
from tests.plugins.fault_table import Faults

INTERRUPTED: Final = 4
ROWS: Final = 40
PACE: Final = Pace(chunk_rows=20, batch_rows_max=8, lock_timeout_ms=200)
# Who waits for so long finds out about deadlocks by the server's means.
PATIENT: Final = Pace(lanes=1, chunk_rows=20, lock_target_ms=10_000, lock_timeout_ms=60_000)

# What applications have: a count that a trigger keeps, and that other transactions take before the post.
COUNTING: Final = (
    "CREATE TABLE author_count (author_id bigint PRIMARY KEY, edits bigint NOT NULL)",
    "INSERT INTO author_count SELECT DISTINCT author_id, 0 FROM note",
    """CREATE FUNCTION count_edit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE public.author_count SET edits = edits + 1 WHERE author_id = NEW.author_id; RETURN NULL;
    END $$""",
    "CREATE TRIGGER count_edit AFTER UPDATE ON note FOR EACH ROW EXECUTE FUNCTION count_edit()",
)
NOTE: Final = 7
WAITING: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE 'cleanup %% lane %%' AND %s = ANY (pg_blocking_pids(pid))"
)


@heavy
@pytest.mark.parametrize("verb", WRITERS)
@pytest.mark.parametrize("ends_by", ["55P03", "40P01"])
def test_a_deadlock_with_an_application_is_ours_to_end(
    make_site: MakeSite, faults: Faults, verb: str, ends_by: str
) -> None:
    """By our lock_timeout, which is shorter than the server's deadlock_timeout; else by whoever looks first: us."""
    site = make_site(ROWS, PACE if ends_by == "55P03" else PATIENT)
    site.do(*COUNTING)
    work = Work(site, verb, faults, f"deadlock with an application, ended by {ends_by}")
    set_for_database(site, "deadlock_timeout = '3s'")
    with site.connect() as author:
        # Far behind us: so it is never the author who looks for deadlocks first.
        author.execute("SET deadlock_timeout = '10min'")
        author.execute("BEGIN")
        author.execute("UPDATE author_count SET edits = edits + 1 WHERE author_id = %s", (NOTE,))
        process = work.start()
        wait_until_it_waits_for(site, author, process)
        # Now the lane waits for the author, who comes to wait for the lane.
        author.execute("UPDATE note SET author_id = author_id WHERE id = %s", (NOTE,))
        wait_for("the lane to yield", lambda: f'"{ends_by}"' in process.said(), process=process)
        author.execute("COMMIT")
    ended = process.end()
    assert ended.status == 0, ended.err
    work.settle()
    # Each post that was written has been counted once, and the author's own two edits.
    written = "SELECT count(DISTINCT (xid, key)) FROM public.write_seen WHERE leaf_name = 'public.note'"
    assert site.number("SELECT sum(edits)::bigint FROM author_count") == site.number(written) + 2


def set_for_database(site: Site, setting: str) -> None:
    """Give every later session of the site's database a setting."""
    with site.connect() as connection:
        name = connection.info.dbname
        connection.execute(sql.SQL("ALTER DATABASE {} SET ").format(sql.Identifier(name)).as_bytes() + setting.encode())


def wait_until_it_waits_for(site: Site, author: Connection, process: Process) -> None:
    """Until a lane waits for the author's transaction."""
    pid = author.info.backend_pid
    wait_for("a lane that waits for the author", lambda: site.number(WAITING, pid) > 0, process=process)


class Storm:
    """An application that takes a lock again and again, and lets go when a lane has lost its patience over it."""

    def __init__(self, site: Site, statement: str) -> None:
        self._site = site
        self._statement = statement
        self.rounds = 0
        self.failure: BaseException | None = None

    @contextmanager
    def blowing(self, process: Process, rounds: int, progress: Callable[[], int]) -> Iterator[None]:
        """So many rounds, each behind a step of the job, in a thread."""
        thread = threading.Thread(target=self._blow, args=(process, rounds, progress))
        thread.start()
        try:
            yield
        finally:
            thread.join(DEADLINE_SECONDS)
            assert not thread.is_alive(), "the storm does not end"
        if self.failure is not None:
            raise self.failure

    def _blow(self, process: Process, rounds: int, progress: Callable[[], int]) -> None:
        try:
            with self._site.connect() as connection:
                for _ in range(rounds):
                    steps = progress()
                    with connection.transaction():
                        connection.execute(self._statement.encode())
                        late = partial(_is_beyond, partial(timeouts, process), timeouts(process))
                        wait_for("a lane that gives up waiting", late, process=process)
                    self.rounds += 1
                    wait_for("a step of the job", partial(_is_beyond, progress, steps), process=process)
        except BaseException as error:
            self.failure = error


def _is_beyond(count: Callable[[], int], before: int) -> bool:
    return count() > before


def timeouts(process: Process) -> int:
    """How often the job has been too late for a lock."""
    return process.said().count('"55P03"')


@heavy
@pytest.mark.parametrize("verb", APPLY_AND_ROLLBACK_LONG)
def test_a_storm_of_locks_delays_and_spoils_nothing(make_site: MakeSite, faults: Faults, verb: str) -> None:
    """Table locks again and again, and rows held until lanes have passed them by."""
    # Small batches with a rest behind each: the job must not come to its end between two rounds.
    pace = replace(PACE, batch_rows_max=4, rest_percent=500)
    work = Work(make_site(4 * ROWS, pace), verb, faults, "storm of lock timeouts")
    site, rounds = work.site, 4
    with site.connect() as holder:
        holder.execute("BEGIN")
        holder.execute("SELECT FROM note_archive WHERE id % 3 = 0 FOR UPDATE")
        process = work.start()
        storm = Storm(site, "LOCK TABLE note, comment IN EXCLUSIVE MODE")
        with storm.blowing(process, rounds, work.progress):
            put_off = "SELECT count(*) FROM cleanup.deferral"
            wait_for("a row that is put off", lambda: site.number(put_off) > 0, process=process)
            holder.execute("COMMIT")
    ended = process.end()
    assert ended.status == 0, ended.err
    assert storm.rounds == rounds
    work.settle()


@heavy
def test_a_locked_table_delays_a_plan(make_site: MakeSite, faults: Faults) -> None:
    work = Work(make_site(ROWS, PACE), "plan", faults, "storm of lock timeouts")
    process = work.start()
    storm = Storm(work.site, "LOCK TABLE note, note_archive, comment IN ACCESS EXCLUSIVE MODE")
    with storm.blowing(process, 1, work.progress):
        ended = process.end()
    assert ended.status == 0, ended.err
    assert storm.rounds == 1
    work.settle()


@heavy
@pytest.mark.parametrize("verb", APPLY_AND_ROLLBACK_LONG)
def test_a_lock_that_is_never_given_back_ends_the_job_with_a_way_out(
    make_site: MakeSite, faults: Faults, verb: str
) -> None:
    site = make_site(ROWS, Pace(chunk_rows=20, batch_rows_max=8, lock_timeout_ms=10))
    work = Work(site, verb, faults, "table locked for ever")
    with site.connect() as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE comment IN EXCLUSIVE MODE")
        ended = work.start().end()
        assert ended.status == INTERRUPTED, ended.err
        assert "CLN-403" in ended.err
        assert "SQLSTATE 55P03" in ended.err
        assert "run the same command again" in ended.err
        assert "Traceback" not in ended.err
        done = work.progress()
    work.run_again()
    assert work.progress() > done
    work.settle()


# A sequence counts on where a transaction is rolled back: so every third attempt fails, and not the one behind it.
FAILING: Final = (
    "CREATE SEQUENCE attempt",
    """CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
        IF current_setting('application_name') LIKE 'cleanup%' AND nextval('attempt') % 3 = 1 THEN
            RAISE EXCEPTION 'somebody was first' USING ERRCODE = tg_argv[0];
        END IF;
        RETURN NEW;
    END $$""",
    "CREATE TRIGGER fail BEFORE UPDATE ON note FOR EACH STATEMENT EXECUTE FUNCTION fail('40001')",
    "CREATE TRIGGER fail BEFORE UPDATE ON comment FOR EACH STATEMENT EXECUTE FUNCTION fail('40P01')",
    "CREATE TRIGGER fail AFTER UPDATE ON cleanup.chunk FOR EACH ROW WHEN (NEW.state = 'done')"
    " EXECUTE FUNCTION fail('40001')",
)


@heavy
@pytest.mark.parametrize("verb", WITH_LANES)
def test_serialization_failures_are_tried_again(make_site: MakeSite, faults: Faults, verb: str) -> None:
    site = make_site(ROWS, PACE)
    site.do(*FAILING)
    work = Work(site, verb, faults, "serialization failures and deadlocks, every third attempt")
    ended = work.run_again()
    assert ended.err.count('"transaction.retried"') >= 3, ended.err
    assert "batch.refused" not in ended.err, "a conflict was taken for a refusal of the row"
    work.settle()


# What no transaction of ours may take over from a database: its own word on isolation and access.
UNFRIENDLY: Final = ("default_transaction_isolation = 'serializable'", "default_transaction_read_only = on")
WATCHED: Final = (
    "CREATE TABLE isolation_seen (isolation text, table_name text)",
    """CREATE FUNCTION see_isolation() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.isolation_seen VALUES (current_setting('transaction_isolation'), tg_table_name);
        RETURN NULL;
    END $$""",
    *(
        f"CREATE TRIGGER see_isolation AFTER INSERT OR UPDATE ON cleanup.{table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION see_isolation()"
        for table in ("plan", "chunk", "finding", "run", "run_chunk", "batch", "change_log", "event")
    ),
)


@heavy
@pytest.mark.parametrize("verb", WITH_LANES)
def test_a_database_whose_default_is_serializable_and_read_only(make_site: MakeSite, faults: Faults, verb: str) -> None:
    """Each transaction of the job says its own isolation and access."""
    site = make_site(ROWS, PACE)
    site.do(*WATCHED)
    work = Work(site, verb, faults, "default isolation serializable, default access read-only")
    site.do("TRUNCATE isolation_seen")
    for setting in UNFRIENDLY:
        set_for_database(site, setting)
    work.run_again()
    assert site.rows("SELECT DISTINCT isolation FROM isolation_seen") == [("read committed",)]
    work.settle()
