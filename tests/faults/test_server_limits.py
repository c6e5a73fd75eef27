"""A server that has no room, or no connection to give: the job waits a while, then says so, and goes on later."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo

from cleanup.demo.server import Server
from tests.faults.conftest import MakeSite, heavy
from tests.faults.full_disk import FullDisk
from tests.faults.gates import Gatekeeper, build_gates, gate_closed
from tests.faults.jobs import Ended, Pace, Process, Site, wait_for
from tests.faults.steps import Step
from tests.faults.work import WITH_LANES, Work
from tests.plugins.fault_table import Faults

PREFLIGHT: Final = 3
UNREACHABLE: Final = 5
ROWS: Final = 40
PACE: Final = Pace(chunk_rows=20, batch_rows_max=8, lock_timeout_ms=60_000)
# Longer than the job is patient with a server that has no room or no connection.
PATIENCE_SECONDS: Final = 120.0
WAY_OUT: Final = "run the same command again"
OUT_OF_CONNECTIONS: Final = 'too many connections for role "operator"'


@contextmanager
def full_disk(server: Server, work: Work) -> Iterator[tuple[Process, FullDisk]]:
    """Start the verb, and let what its lanes add to the ledger find no room."""
    plans = work.verb == "plan"
    with gate_closed(work.site, Step.CHUNK_CLAIMED if plans else Step.RUN_CHUNK_CLAIMED) as keeper:
        process = work.start()
        keeper.wait(process)
        newest = "SELECT max(plan_id) FROM cleanup.plan" if plans else "SELECT max(run_id) FROM cleanup.run"
        table = "finding" if plans else "change_log"
        disk = FullDisk(server, work.site, f"cleanup.{table}_{work.site.number(newest)}")
        keeper.open()
        yield process, disk


def test_the_disk_is_full_for_a_while(make_site: MakeSite, faults: Faults, own_server: Server) -> None:
    site = make_site(ROWS, PACE, dsn=own_server.dsn())
    build_gates(site)
    for verb in WITH_LANES:
        work = Work(site, verb, faults, "disk full, room made meanwhile")
        with full_disk(own_server, work) as (process, disk):
            wait_for("the full disk", lambda: '"sqlstate": "53100"' in process.said(), process=process)
            disk.make_room()
            ended = process.end()
        assert ended.status == 0, ended.err
        work.settle()


@heavy
def test_the_disk_stays_full_for_longer_than_the_job_waits(
    make_site: MakeSite, faults: Faults, own_server: Server
) -> None:
    site = make_site(ROWS, PACE, dsn=own_server.dsn())
    build_gates(site)
    work = Work(site, "apply", faults, "disk full, room made later")
    with full_disk(own_server, work) as (process, disk):
        ended = process.end(PATIENCE_SECONDS)
    require_refusal(ended, UNREACHABLE, "CLN-504", "SQLSTATE 53100")
    assert "make room" in ended.err
    assert WAY_OUT in ended.err
    # A batch whose log found no room has left its posts as they were.
    assert site.everything() == work.peace.original
    disk.make_room()
    work.run_again()
    work.settle()


@contextmanager
def lanes_not_started(work: Work) -> Iterator[tuple[Process, Gatekeeper]]:
    """Start the verb, and hold the job where it has looked at the server, and has not started its lanes."""
    with gate_closed(work.site, Step.PLAN_CREATED if work.verb == "plan" else Step.RUN_CREATED) as keeper:
        process = work.start()
        keeper.wait(process)
        yield process, keeper


@heavy
def test_no_connection_is_free_for_a_while(make_site: MakeSite, faults: Faults, own_server: Server) -> None:
    """There were enough when the job looked; for its lanes there is none."""
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_connections = 15")
    own_server.restart()
    site = make_site(ROWS, PACE, dsn=own_server.dsn())
    build_gates(site)
    for verb in WITH_LANES:
        work = Work(site, verb, faults, "max_connections reached for a while")
        with lanes_not_started(work) as (process, keeper):
            with every_connection(site):
                keeper.open()
                wait_for("a lane with no connection", lambda: "DatabaseUnreachable" in process.said(), process=process)
            ended = process.end()
        assert ended.status == 0, ended.err
        work.settle()


@contextmanager
def every_connection(site: Site) -> Iterator[None]:
    """Let others hold every connection that the server has to give."""
    with ExitStack() as held:
        with suppress(psycopg.OperationalError):
            while True:
                held.enter_context(psycopg.connect(site.dsn, application_name="author"))
        yield


@heavy
def test_a_role_that_may_not_connect_often_enough(make_site: MakeSite, faults: Faults, own_server: Server) -> None:
    """Told at once where the job can know it; where it comes later, told when the patience of the lanes is over."""
    # In another database than the site's, which is copied to see what an undisturbed run comes to.
    with psycopg.connect(own_server.dsn("template1"), autocommit=True) as superuser:
        superuser.execute("CREATE ROLE operator LOGIN CREATEDB IN ROLE pg_monitor")
        superuser.execute("ALTER DATABASE postgres OWNER TO operator")
        site = make_site(ROWS, PACE, dsn=make_conninfo(own_server.dsn(), user="operator"))
        build_gates(site)
        work = Work(site, "apply", faults, "CONNECTION LIMIT of the role reached")
        superuser.execute("ALTER ROLE operator CONNECTION LIMIT 0")
        require_refusal(work.start().end(), UNREACHABLE, "CLN-501", OUT_OF_CONNECTIONS)
        superuser.execute("ALTER ROLE operator CONNECTION LIMIT 1")
        require_refusal(work.start().end(), PREFLIGHT, "CLN-313", "connections: 0 free")
        superuser.execute("ALTER ROLE operator CONNECTION LIMIT -1")
        with lanes_not_started(work) as (process, keeper):
            superuser.execute("ALTER ROLE operator CONNECTION LIMIT 1")
            keeper.open()
            ended = process.end(PATIENCE_SECONDS)
        require_refusal(ended, UNREACHABLE, "CLN-502", OUT_OF_CONNECTIONS)
        assert WAY_OUT in ended.err
        superuser.execute("ALTER ROLE operator CONNECTION LIMIT -1")
    assert site.everything() == work.peace.original
    work.run_again()
    work.settle()


def require_refusal(ended: Ended, status: int, code: str, cause: str) -> None:
    assert ended.status == status, ended.err
    assert code in ended.err
    assert cause in ended.err
    assert "HINT: " in ended.err
    assert "Traceback" not in ended.err
