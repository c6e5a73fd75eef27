"""Every verb through a transaction-pooling proxy: no state of a session is relied on, and none is left behind."""

import signal
from typing import Final

import psycopg
import pytest

from cleanup.demo.server import Server
from tests.faults.conftest import MakeSite, heavy
from tests.faults.jobs import Pace, Row, Site, wait_for
from tests.faults.work import APPLY_AND_LONG, EVERY_VERB, WITH_LANES, Work
from tests.plugins.fault_table import Faults
from tests.plugins.pooler import Pooler, StartPooler

LANES: Final = 2
PACE: Final = Pace(lanes=LANES, chunk_rows=40, batch_rows_max=8)
# More than the job ever has open, fewer than its lanes and itself, and a single one.
POOL_SIZES: Final = (10, pytest.param(LANES, marks=pytest.mark.long), 1)
STATE: Final = """
SELECT name, setting FROM pg_settings WHERE source = 'session' AND name NOT LIKE 'transaction_%'
           AND name NOT IN ('application_name', 'client_encoding')
 UNION ALL SELECT 'prepared', name FROM pg_prepared_statements
 UNION ALL SELECT 'cursor', name FROM pg_cursors
 UNION ALL SELECT 'lock', objid::text FROM pg_locks WHERE locktype = 'advisory'
 UNION ALL SELECT 'temporary', relname FROM pg_class WHERE relpersistence = 't' AND NOT relisshared
           AND relnamespace = pg_my_temp_schema()
"""


def left_behind(site: Site, pooler: Pooler) -> list[Row]:
    """What a session of the pool still has, when all of its connections are taken at once and looked at."""
    takers = [psycopg.connect(pooler.dsn(site.dsn)) for _ in range(pooler.pool_size)]
    try:
        return [row for taker in takers for row in taker.execute(STATE.encode()).fetchall()]
    finally:
        for taker in takers:
            taker.close()


@heavy
@pytest.mark.parametrize("pool_size", POOL_SIZES)
def test_every_verb_works_through_a_transaction_pool(
    make_site: MakeSite, server: Server, start_pooler: StartPooler, faults: Faults, pool_size: int
) -> None:
    site = make_site(120, PACE)
    pooler = start_pooler(server, pool_size)
    for verb in EVERY_VERB:
        fault = f"transaction pool of {pool_size} before the server, {LANES} lanes"
        work = Work(site, verb, faults, fault, through=pooler.dsn(site.dsn))
        ended = work.end(work.start())
        assert "transaction.retried" not in ended.err
        work.settle()
        assert left_behind(site, pooler) == []


@heavy
def test_the_pool_is_killed_and_comes_back(
    make_site: MakeSite, server: Server, start_pooler: StartPooler, faults: Faults
) -> None:
    site = make_site(200, PACE)
    pooler = start_pooler(server, LANES)
    for verb in WITH_LANES:
        work = Work(
            site, verb, faults, "SIGKILL of the transaction pool, which comes back", through=pooler.dsn(site.dsn)
        )
        process = work.start()
        for goal in (3, 9):
            wait_for(f"step {goal}", work.has_come_to(goal), process=process)
            pooler.kill()
            pooler.start()
        ended = work.end(process)
        assert "transaction.retried" in ended.err
        work.settle()


@heavy
@pytest.mark.parametrize("verb", APPLY_AND_LONG)
def test_a_job_behind_a_pool_is_killed(
    make_site: MakeSite, server: Server, start_pooler: StartPooler, faults: Faults, verb: str
) -> None:
    """The pool keeps the sessions of the dead lanes, so their leases look alive: the leases' own end decides."""
    pace = Pace(lanes=LANES, chunk_rows=40, batch_rows_max=8, lease_seconds=5)
    site = make_site(120, pace)
    pooler = start_pooler(server, 10)
    work = Work(site, verb, faults, "SIGKILL of job and lanes behind a transaction pool", through=pooler.dsn(site.dsn))
    process = work.start()
    wait_for("the middle of the work", work.has_come_to(3), process=process)
    process.kill()
    assert process.process.returncode == -signal.SIGKILL
    work.end(work.start())
    work.settle()
