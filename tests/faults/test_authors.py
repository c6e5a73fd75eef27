"""Authors write all the while: none of their edits is lost, none of their statements fails or waits long for us."""

import os
from random import Random

import pytest

from tests.faults.conftest import MakeSite, heavy
from tests.faults.jobs import TABLES, Pace, Site, slow_updates
from tests.faults.writing import Newsroom, bodies
from tests.plugins.fault_table import Faults, Measured

LOCK_TARGET_MS = 250
ALLOWED_WAIT_MS = LOCK_TARGET_MS + 100
# Where the pace itself chooses the batches, it goes by the time of the last one: a moment in which the machine is
# busier stretches the batch that is under way. Here six processes and five threads share two processors.
ALLOWED_WAIT_AT_FULL_PACE_MS = 1.5 * ALLOWED_WAIT_MS
UNPLANNED_LEFT = 1


def write_during_apply(site: Site, faults: Faults, rows: int, allowed_wait_ms: float) -> None:
    case = faults.case("authors write all the while", "apply")
    seed = int(os.environ.get("CLEANUP_TEST_SEED") or Random().randrange(1 << 32))
    print(f"seed {seed}")  # noqa: T201 -- shown where the test fails, to run it again
    # So that authors meet locks.
    for table in TABLES:
        slow_updates(site, table, 4)
    plan = site.approved_plan()
    before = bodies(site)
    with Newsroom(site, rows, Random(seed)) as newsroom:
        site.run("apply", str(plan))
    run = site.run_of(plan)
    assert newsroom.failures() == []
    did = {name for author in newsroom.authors for name in author.did}
    assert len(did) == 7, f"the run was over before every kind of edit had been made: {did}"

    # No edit is lost, whoever came first; what no author touched is as the policy wants it.
    texts = newsroom.texts()
    after = bodies(site)
    lost = {
        identity: (text, after.get(identity))
        for identity, text in texts.items()
        if after.get(identity) not in ({None} if text is None else {text, site.redacted(text)})
    }
    assert lost == {}
    untouched = {identity: site.redacted(text) for identity, text in before.items() if identity not in texts}
    assert after.keys() - texts.keys() == untouched.keys()
    stale = {identity for identity, text in untouched.items() if after[identity] != text}
    measured = site.require_sound(run, planned=planned(site, plan))
    case.settle(measured + Measured(rows_lost=len(lost) + len(stale)))

    # Nobody waited longer for us than a batch holds its locks. Both are measured in the server, where a busy
    # machine of the test does not blur them.
    assert newsroom.waits_seen > 0, "no author met a lane: the test proves nothing"
    assert newsroom.longest_wait_ms <= allowed_wait_ms
    held_ms = site.value("SELECT max(lock_ms)::float8 FROM cleanup.batch")
    assert float(str(held_ms)) <= allowed_wait_ms

    # What authors brought in anew is unplanned, and a delta plan clears it.
    left = site.left_in_scope()
    assert left > 0
    verified = site.run("verify", str(run), "--format", "json", expect=UNPLANNED_LEFT)
    assert f'"unplanned": {left}' in verified.out
    delta = site.approved_plan(since=plan)
    assert planned(site, delta) == left
    site.run("apply", str(delta))
    site.run("verify", str(site.run_of(delta)))
    assert site.left_in_scope() == 0
    assert bodies(site) == {identity: site.redacted(text) for identity, text in after.items()}


def planned(site: Site, plan: int) -> int:
    return site.number("SELECT sum(actionable)::bigint FROM cleanup.chunk WHERE plan_id = %s", plan)


@heavy
def test_authors_write_during_apply(make_site: MakeSite, faults: Faults) -> None:
    rows = 240
    pace = Pace(batch_rows_max=20, rest_percent=800, niceness=10, lock_target_ms=LOCK_TARGET_MS, max_drift=1.0)
    write_during_apply(make_site(rows, pace), faults, rows, ALLOWED_WAIT_MS)


@pytest.mark.long
@pytest.mark.parametrize("round_", range(3))
def test_authors_write_during_a_long_apply(make_site: MakeSite, faults: Faults, round_: int) -> None:
    del round_
    rows = 3_000
    pace = Pace(batch_rows_max=200, lock_target_ms=LOCK_TARGET_MS, max_drift=1.0)
    write_during_apply(make_site(rows, pace), faults, rows, ALLOWED_WAIT_AT_FULL_PACE_MS)
