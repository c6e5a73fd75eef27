"""What the tests of a running run share: verbs of a second process, and what the ledger and the server then show."""

import sys
from datetime import datetime

from tests.faults.jobs import Ended, Process, Site, wait_for

_OPEN_BATCHES = "SELECT count(*) FROM pg_locks WHERE relation = 'cleanup.batch'::regclass AND mode = 'RowExclusiveLock'"
_LANES_SINCE = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE 'cleanup %% run %% lane %%' AND query_start > %s"
)


def begin(site: Site, *words: str) -> Process:
    """Start a verb that needs no config, as a process of its own, on whatever host."""
    output = site.folder / f"asked-{len(site.processes)}"
    process = Process([sys.executable, "-m", "cleanup", *words, "--dsn", site.dsn], output)
    site.processes.append(process)
    return process


def ask(site: Site, *words: str, expect: int = 0) -> Ended:
    """The same to its end, which must be with that exit status."""
    ended = begin(site, *words).end()
    assert ended.status == expect, f"{words} ended with {ended.status}\n{ended.out}\n{ended.err}"
    return ended


def clock(site: Site) -> datetime:
    """The server's own."""
    now = site.value("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    return now


def in_the_middle(site: Site, process: Process, after_run: int = 0, batches: int = 6) -> int:
    """Wait until a run that is newer than that one has so many batches; its number."""
    wait_for(
        "the middle of the run",
        lambda: site.number("SELECT count(*) FROM cleanup.batch WHERE run_id > %s", after_run) >= batches,
        process=process,
    )
    return site.last_run()


def lanes_at_the_gate(site: Site, process: Process, lanes: int) -> None:
    """Wait until no batch is open, and until so many lanes have asked the ledger something since, twice."""
    wait_for("the end of open batches", lambda: not site.number(_OPEN_BATCHES), process=process)
    for _ in range(2):
        now = clock(site)
        wait_for(
            "every lane at the gate",
            lambda now=now: site.number(_LANES_SINCE, now) >= lanes,  # type: ignore[misc]  # binds the loop's value
            process=process,
        )


def events(site: Site, run_id: int) -> list[str]:
    """The names of what happened to a run, sorted."""
    return [str(name) for (name,) in site.rows("SELECT name FROM cleanup.event WHERE run_id = %s ORDER BY 1", run_id)]


def planned(site: Site, run_id: int) -> int:
    """How many findings the run is to settle."""
    return site.number("SELECT planned FROM cleanup.run WHERE run_id = %s", run_id)
