"""Posts that move away from the plan: refused before the first write, stopped in the middle of a run."""

from dataclasses import replace

import pytest

from cleanup.db.connection import open_connection, transaction
from cleanup.engine import plan_lane, planning
from cleanup.errors import PlanStale
from tests.faults.conftest import MakeSite, heavy
from tests.faults.jobs import Pace, Site, slow_updates, wait_for
from tests.faults.measuring import differing_rows
from tests.faults.said import events
from tests.faults.stepping import Point, Stepping
from tests.plugins.fault_table import Faults, Measured

REFUSED = 1
PACE = Pace(chunk_rows=100, batch_rows_max=20)


def edit(site: Site, table: str, share: str) -> None:
    site.do(f"UPDATE {table} SET body = body || ' 改' WHERE {share}")


@heavy
def test_the_sample_refuses_before_the_first_write(make_site: MakeSite) -> None:
    site = make_site(400, PACE)
    plan = site.approved_plan()
    edit(site, "note", "id % 3 = 0")
    before = site.everything()
    ended = site.run("apply", str(plan), expect=REFUSED)
    assert "CLN-111" in ended.err
    assert "nothing was written" in ended.err
    assert site.number("SELECT count(*) FROM cleanup.run") == 0
    assert site.everything() == before
    # The approval was not consumed, and the limit is a matter of the config: a wider one lets it run.
    site.set_pace(Pace(chunk_rows=100, batch_rows_max=200, max_drift=0.5))
    said = site.run("apply", str(plan)).err
    (told,) = [one for one in events(said) if one["event"] == "run.drift_sampled"]
    kept = site.value("SELECT detail FROM cleanup.event WHERE name = 'run.drift_sampled'")
    assert kept == {"moved": told["moved"], "sampled": 1_000}
    assert 100 < int(str(told["moved"])) <= 133
    assert site.outcomes(site.run_of(plan))["changed_after_edit"] == 133
    assert site.left_in_scope() == 0


@heavy
def test_drift_stops_a_run_and_a_new_plan_does_the_rest(make_site: MakeSite, faults: Faults) -> None:
    case = faults.case("posts edited until drift stops the run", "apply")
    site = make_site(600, PACE)
    original = site.everything()
    for table in ("note", "note_archive", "comment"):
        slow_updates(site, table, 3)
    plan = site.approved_plan()
    process = site.start("apply", str(plan))
    wait_for("a batch", lambda: site.number("SELECT count(*) FROM cleanup.batch") > 3, process=process)
    edit(site, "note_archive", "true")
    edit(site, "comment", "true")
    ended = process.end()
    assert ended.status == REFUSED, ended.err
    assert "CLN-111" in ended.err
    assert "make a new plan" in ended.err
    run = site.run_of(plan)
    assert site.value("SELECT state FROM cleanup.run WHERE run_id = %s", run) == "drift_stopped"
    left = site.left_in_scope()
    assert left > 0, "it was over before the drift was seen"
    settled = sum(site.outcomes(run).values())
    measured = site.require_sound(run, planned=settled)
    # The same command does not go on, and does not send anybody to a delta plan, which would miss the rest.
    again = site.run("apply", str(plan), expect=REFUSED)
    assert "CLN-108" in again.err
    assert "not with --since" in again.err
    assert site.run("verify", str(run), expect=1).out, "posts are left, and verify says that all is well"
    second = site.approved_plan()
    site.run("apply", str(second))
    assert site.left_in_scope() == 0
    # Both are undone: what no author touched is what it was.
    site.run("rollback", str(site.run_of(second)))
    site.run("rollback", str(run), expect=0)
    untouched = {"note": original["note"]}
    case.settle(measured + Measured(rows_lost=differing_rows(site.everything(), untouched)))


def test_drift_that_shows_when_all_is_done_stops_nothing(make_site: MakeSite, stepping: Stepping) -> None:
    site = make_site(0, Pace(lanes=1, chunk_rows=2_000, lock_target_ms=10_000))
    site.do(
        "INSERT INTO note SELECT n, 1, '2021-01-01', false, 't', 'https://item.taobao.com/item.htm?id=' || n"
        " FROM generate_series(1, 1000) AS n"
    )
    plan = stepping.plan(site)
    with stepping.held(site, lambda: stepping.apply(site, plan), Point.READ_AHEAD, 1):
        edit(site, "note", "true")
    run = site.run_of(plan)
    assert site.value("SELECT state FROM cleanup.run WHERE run_id = %s", run) == "finished"
    assert site.outcomes(run) == {"changed_after_edit": 1000}
    site.require_sound(run, planned=1000)


def test_no_chunk_is_claimed_under_another_collation_than_the_plan_began_with(make_site: MakeSite) -> None:
    """As after an upgrade of the operating system under a plan that goes on: its keys have another order by now."""
    site = make_site(10, PACE)
    with open_connection(site.dsn, "a lane") as lane, transaction(lane):
        order = planning._open_plan(lane, site.job(), None)
        before = {number: {**one, "key_collation_versions": {"id": "1"}} for number, one in order.fingerprints.items()}
        with pytest.raises(PlanStale, match="under collation versions"):
            plan_lane._claim(lane, replace(order, fingerprints=before))
        assert plan_lane._claim(lane, order) is not None
