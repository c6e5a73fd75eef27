"""Whoever looks at the server's sessions or statements sees which query of which run each is."""

import re

import psycopg

from cleanup.demo.server import Server
from tests.faults.jobs import wait_for
from tests.integration.conftest import MakeSite
from tests.integration.watched import LANES, build_gate, closed_gate, wait_at_gate

_SESSIONS = (
    "SELECT application_name, state, query FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name LIKE 'cleanup %' ORDER BY 1"
)


def test_a_session_names_run_and_lane_and_its_statement_query_and_run(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    build_gate(site)
    plan = site.approved_plan()
    with closed_gate(site):
        job = site.start("apply", str(plan))
        wait_at_gate(site, job, LANES)
        found = {str(name): (state, str(query)) for name, state, query in site.rows(_SESSIONS)}
        for lane in range(1, LANES + 1):
            state, query = found[f"cleanup apply run 1 lane {lane}"]
            assert state == "active"
            assert query.startswith("/* cleanup:targets.write run=1 */ "), query
        assert found.keys() == {
            "cleanup apply",
            "cleanup apply run 1 throttle",
            *(f"cleanup apply run 1 lane {lane}" for lane in range(1, LANES + 1)),
        }
        # What is not in a transaction of a lane is the driver's own word for its beginning and end.
        for name, (_, query) in found.items():
            named = re.match(r"/\* cleanup:[a-z_]+\.[a-z_]+ run=1 \*/ ", query)
            assert named or query in ("BEGIN", "COMMIT", "ROLLBACK"), (name, query)
    assert job.end().status == 0


def test_a_plans_statements_name_the_plan(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    held = (
        "SELECT query FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND application_name LIKE 'cleanup plan 1 lane %%' LIMIT %s"
    )
    with site.connect() as keeper:
        keeper.execute("BEGIN")
        # Whoever claims a chunk waits.
        keeper.execute("LOCK TABLE cleanup.chunk IN EXCLUSIVE MODE")
        job = site.start("plan")
        wait_for("a lane that waits", lambda: site.rows(held, 1) != [], process=job)
        ((query,),) = site.rows(held, 1)
        keeper.execute("ROLLBACK")
    assert re.match(r"/\* cleanup:chunks\.[a-z_]+ plan=1 \*/ ", str(query)), query
    assert job.end().status == 0


def test_the_run_in_the_comment_makes_no_statement_anew(own_server: Server, make_site: MakeSite) -> None:
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    own_server.restart()
    site = make_site(own_server.dsn())
    site.do("CREATE EXTENSION pg_stat_statements")
    site.run("apply", str(site.approved_plan()))
    site.run("rollback", "1")
    statements = "SELECT query, calls FROM pg_stat_statements WHERE query LIKE '%%/* ' || %s || ' */'"
    ((text, calls),) = site.rows(statements, "batches.settle")
    assert calls == site.number("SELECT count(*) FROM cleanup.batch")
    # Of both runs, under the text of the first, which newer servers show without what leads it.
    assert re.match(r"(/\* cleanup:batches\.settle run=1 \*/ )?UPDATE cleanup\.batch\b", str(text)), text
