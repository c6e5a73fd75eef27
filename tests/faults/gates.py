"""Steps of plan, apply and rollback at which the server holds the processes of a job, to do them harm just there.

A trigger waits for an advisory lock that the test has taken, a COMMIT for a standby that does not exist, a read for
the lock on its table. What lies in the client, between two round trips, is reached by way of such a gate: a process
is stopped there with SIGSTOP, the gate opens, and the server says when it has nothing more to do for it.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg

from cleanup.demo.server import Server
from tests.faults.jobs import Connection, Process, Site, wait_for
from tests.faults.steps import BEYOND, GATES, LOCKED_AFTER, Hold, Step

_ADVISORY_CLASS: Final = 77
_LANE: Final = re.compile(r" lane (\d+)")
_FUNCTION: Final = f"""
CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('application_name') NOT LIKE 'cleanup%' THEN
        RETURN NEW;
    ELSIF tg_argv[1] = 'TRIGGER' THEN
        PERFORM pg_advisory_xact_lock_shared({_ADVISORY_CLASS}, tg_argv[0]::int);
    ELSIF NOT pg_try_advisory_xact_lock_shared({_ADVISORY_CLASS}, tg_argv[0]::int) THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    RETURN NEW;
END $$"""


@dataclass(frozen=True, slots=True)
class Held:
    """A session that waits at a gate; `lane` is None for the job's own."""

    pid: int
    lane: int | None


def let_commits_be_held(server: Server) -> None:
    """Let the server wait for a standby that does not exist, where a transaction asks for one; restarts it."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        connection.execute("ALTER SYSTEM SET synchronous_commit = 'local'")
    server.restart()


def build_gates(site: Site) -> None:
    """Put every gate into the site's database, open; before the plan, whose fingerprint knows triggers."""
    with site.connect() as connection:
        connection.execute(_FUNCTION.encode())
        for step, gate in GATES.items():
            if gate.hold is Hold.TABLE:
                continue
            tables = ("note", "note_archive", "comment") if "{}" in gate.place else ("",)
            for table in tables:
                connection.execute(
                    f"CREATE TRIGGER hold_{step.name.lower()} {gate.place.format(table)}"
                    f" EXECUTE FUNCTION public.hold({step.number}, '{gate.hold.name}')".encode()
                )


class Gatekeeper:
    """Closes the gate of one step, sees who waits there, and opens it; on a connection of its own."""

    def __init__(self, connection: Connection, site: Site, step: Step) -> None:
        self._connection = connection
        self._site = site
        self._step, self._beyond = BEYOND.get(step, (step, ""))
        self._gate = GATES[self._step]
        self._table_lock: _TableLock | None = None
        claimed = LOCKED_AFTER.get(self._step)
        self._claim = Gatekeeper(connection, site, claimed) if claimed is not None else None
        self._is_open = False

    @property
    def lies_beyond(self) -> bool:
        """Whether the step lies behind its gate, in the client."""
        return bool(self._beyond)

    def close(self) -> None:
        """Before the job starts, so that whoever comes to the step waits."""
        if self._gate.hold is not Hold.TABLE:
            self._connection.execute("SELECT pg_advisory_lock(%s, %s)", (_ADVISORY_CLASS, self._step.number))
        elif self._claim is None:
            self._table_lock = _TableLock(self._site, self._gate.place)
        else:
            self._claim.close()

    def wait(self, process: Process, sessions: int = 1) -> Held:
        """Until so many sessions wait at the gate; the first of them."""
        if self._claim is not None:
            self._claim.wait(process)
            self._table_lock = _TableLock(self._site, self._gate.place)
            self._claim.open()
        wait_for(f"the step '{self._step.value}'", lambda: len(self.held()) >= sessions, process=process)
        return self.held()[0]

    def held(self) -> list[Held]:
        """The sessions at the gate."""
        rows = self._connection.execute(
            "SELECT pid, application_name FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'cleanup %%' AND (wait_event_type, wait_event) = (%s, %s)"
            " AND query LIKE %s ORDER BY application_name",
            (*self._gate.hold.value, f"%{self._gate.query}%"),
        ).fetchall()
        return [Held(int(str(pid)), _lane_of(str(name))) for pid, name in rows]

    def open(self) -> None:
        """Let everybody go on."""
        self._is_open = True
        if not self.release_table():
            self._connection.execute("SELECT pg_advisory_unlock(%s, %s)", (_ADVISORY_CLASS, self._step.number))

    def release_table(self) -> bool:
        """Give the lock on a table back; False where there is none."""
        lock, self._table_lock = self._table_lock, None
        if lock is not None:
            lock.release()
        return lock is not None

    def wait_until(self, what: str, happened: Callable[[], bool]) -> None:
        """Wait for something, and meanwhile keep an open gate from holding whoever was on the way to it."""
        wait_for(what, lambda: self._let_through() or happened())

    def wait_beyond(self, held: Held) -> None:
        """Until the server has nothing more to do for the session, whose process stands still."""
        reached = f"SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND {self._beyond}"
        self.wait_until("the step behind the gate", lambda: self._site.number(reached, held.pid) == 1)

    def terminate(self, held: list[Held]) -> None:
        """End the sessions at the gate, and so what they have not committed."""
        for one in held:
            self._connection.execute("SELECT pg_terminate_backend(%s)", (one.pid,))

    def _let_through(self) -> bool:
        if self._is_open and self._gate.hold is Hold.COMMIT:
            # They are committed already; what is called off is the wait for the standby.
            for one in self.held():
                self._connection.execute("SELECT pg_cancel_backend(%s)", (one.pid,))
        return False


@contextmanager
def gate_closed(site: Site, step: Step) -> Iterator[Gatekeeper]:
    """A step's gate, closed."""
    with site.connect() as connection:
        keeper = Gatekeeper(connection, site, step)
        keeper.close()
        try:
            yield keeper
        finally:
            keeper.release_table()


def _lane_of(application_name: str) -> int | None:
    found = _LANE.search(application_name)
    return int(found[1]) if found else None


class _TableLock:
    """A table's strongest lock, asked for in a thread since it may have to wait for its turn."""

    def __init__(self, site: Site, table: str) -> None:
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(site, table))
        self._thread.start()
        asked = "SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND mode = 'AccessExclusiveLock'"
        wait_for("the lock to be asked for", lambda: site.number(asked, table) > 0)

    def _hold(self, site: Site, table: str) -> None:
        with site.connect() as connection, connection.transaction():
            connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
            self._released.wait()

    def release(self) -> None:
        self._released.set()
        self._thread.join()
