"""Jobs that stand where a test wants to look at them: held in a batch, or by a signal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.faults.jobs import Pace, Process, Site, wait_for

LANES: Final = 2
PACE: Final = Pace(lanes=LANES, chunk_rows=20, batch_rows_max=8, lock_timeout_ms=60_000, lock_target_ms=10_000)
ONE_OLD_TRANSACTION: Final = "\n[throttle]\nlong_transaction_seconds = 1\n"

_KEY: Final = 4711
_GATE: Final = (
    "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " IF current_setting('application_name') LIKE 'cleanup%'"
    f" THEN PERFORM pg_advisory_xact_lock_shared({_KEY}); END IF;"
    " RETURN NEW; END $$",
    "CREATE TRIGGER gate BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION gate()",
)
_AT_THE_GATE: Final = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def build_gate(site: Site) -> None:
    """Let every batch on note wait, within its transaction, while somebody holds the gate."""
    site.do(*_GATE)


@contextmanager
def closed_gate(site: Site) -> Iterator[None]:
    """The gate is closed meanwhile."""
    with site.connect() as keeper:
        keeper.execute(f"SELECT pg_advisory_lock({_KEY})".encode())
        yield


def wait_at_gate(site: Site, process: Process | None, lanes: int = 1) -> None:
    """Wait until so many lanes stand before it."""
    wait_for("lanes at the gate", lambda: site.number(_AT_THE_GATE) >= lanes, process=process)


@contextmanager
def old_transaction(site: Site) -> Iterator[None]:
    """A transaction of somebody else that is beyond its limit when this begins."""
    with site.connect() as author:
        author.execute("BEGIN")
        author.execute("SELECT pg_current_xact_id()")
        old = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND now() - xact_start > interval '1.5 s'"
        wait_for("an old transaction", lambda: site.number(old, author.info.backend_pid) == 1)
        yield
        author.execute("ROLLBACK")
