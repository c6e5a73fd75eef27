"""The clock of the job's machine is wrong by a day, either way: the server's clock decides, on everything."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from cleanup.resources import config_directory
from tests.faults.conftest import MakeSite, heavy
from tests.faults.gates import build_gates, gate_closed
from tests.faults.jobs import Ended, Pace, Site, wait_for
from tests.faults.measuring import differing_rows
from tests.faults.said import events
from tests.faults.stepping import in_this_process
from tests.faults.steps import Step
from tests.faults.work import WITH_LANES, Work
from tests.plugins.fault_table import Faults, Measured

REFUSED: Final = 1
ROWS: Final = 40
PACE: Final = Pace(chunk_rows=20, batch_rows_max=8, lock_timeout_ms=60_000)
WRONG_CLOCK: Final = Path(__file__).parent / "wrong_clock"
# A day, and so much that what is half a day away by the server's clock is on the other side by the client's.
AHEAD: Final = timedelta(days=1)
BEHIND: Final = -AHEAD
HALF_A_DAY: Final = timedelta(hours=12)
TOLERANCE: Final = timedelta(hours=1)


@contextmanager
def wrong_clock(error: timedelta) -> Iterator[None]:
    """Processes that are started here have a wrong clock."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(WRONG_CLOCK))
        patch.setenv("CLEANUP_TEST_CLOCK_SECONDS", str(error.total_seconds()))
        yield


def require_wrong_clock(ended: Ended, error: timedelta) -> None:
    """The job and its lanes had the wrong clock, and not only the environment for it."""
    in_the_job = [str(event["timestamp"]) for event in events(ended.err) if "lane" not in event]
    in_lanes = [str(event["timestamp"]) for event in events(ended.err) if "lane" in event]
    assert in_the_job, ended.err
    assert in_lanes, ended.err
    for stamp in in_the_job + in_lanes:
        off = datetime.fromisoformat(stamp) - datetime.now(UTC)
        assert abs(off - error) < TOLERANCE, stamp


def move_cutover(site: Site, cutover: datetime) -> None:
    """The same policy from another instant on."""
    name = "policy-xiaohongshu-2021.toml"
    shipped = (config_directory() / name).read_text(encoding="utf-8")
    lines = [
        f"cutover = {cutover.isoformat(timespec='seconds')}" if line.startswith("cutover = ") else line
        for line in shipped.splitlines()
    ]
    (site.folder / name).write_text("\n".join(lines), encoding="utf-8")


def server_time(site: Site) -> datetime:
    now = site.value("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    return now


def test_a_client_that_is_ahead_applies_nothing_before_the_cutover(make_site: MakeSite, faults: Faults) -> None:
    case = faults.case("client's clock a day ahead: before the cutover", "apply")
    site = make_site(ROWS, PACE)
    move_cutover(site, server_time(site) + HALF_A_DAY)
    original = site.everything()
    with in_this_process() as stepping:
        plan = stepping.plan(site)
    with wrong_clock(AHEAD):
        ended = site.run("apply", str(plan), expect=REFUSED)
    assert "CLN-109" in ended.err
    assert "the server's clock says" in ended.err
    assert site.number("SELECT count(*) FROM cleanup.run") == 0
    case.settle(Measured(rows_lost=differing_rows(site.everything(), original)))


@heavy
def test_a_client_that_is_behind_applies_from_the_cutover_on(make_site: MakeSite, faults: Faults) -> None:
    site = make_site(ROWS, PACE)
    move_cutover(site, server_time(site) - HALF_A_DAY)
    work = Work(site, "apply", faults, "client's clock a day behind: from the cutover on")
    with wrong_clock(BEHIND):
        ended = work.run_again()
    require_wrong_clock(ended, BEHIND)
    work.settle()


@heavy
@pytest.mark.parametrize("error", [pytest.param(AHEAD, id="ahead"), pytest.param(BEHIND, id="behind")])
def test_an_approval_runs_out_by_the_clock_of_the_server(make_site: MakeSite, faults: Faults, error: timedelta) -> None:
    """Good for half a day more: who is a day ahead applies. Run out half a day ago: who is a day behind does not."""
    site = make_site(ROWS, PACE)
    work = Work(site, "apply", faults, f"client's clock a day {'ahead' if error > BEHIND else 'behind'}: approval")
    ends = "now() + interval '12 hours'" if error == AHEAD else "now() - interval '12 hours'"
    site.tamper(f"UPDATE cleanup.approval SET approved_at = now() - interval '1 day', expires_at = {ends}")
    with wrong_clock(error):
        ended = work.start().end()
    if error == BEHIND:
        assert ended.status == REFUSED, ended.err
        assert "CLN-104" in ended.err
        assert site.number("SELECT count(*) FROM cleanup.run") == 0
        site.approve(work.plan)
        ended = work.run_again()
    assert ended.status == 0, ended.err
    work.settle()


@heavy
def test_leases_end_by_the_clock_of_the_server(make_site: MakeSite, faults: Faults) -> None:
    """A job a day ahead takes no chunk for abandoned that one a day behind holds, and nothing is stamped by either."""
    site = make_site(ROWS, PACE)
    build_gates(site)
    for verb in WITH_LANES:
        work = Work(site, verb, faults, "two jobs at once, whose clocks are two days apart")
        begun = server_time(site)
        with gate_closed(site, Step.CHUNK_CLAIMED if verb == "plan" else Step.RUN_CHUNK_CLAIMED) as keeper:
            with wrong_clock(AHEAD):
                ahead = work.start()
            keeper.wait(ahead)
            with wrong_clock(BEHIND):
                behind = work.start()
            lanes = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            lanes = f"{lanes} AND application_name LIKE 'cleanup % lane %'"
            wait_for("the lanes of both", lambda: site.number(lanes) == 2 * PACE.lanes, process=ahead)  # noqa: B023
            keeper.open()
            for process, error in ((ahead, AHEAD), (behind, BEHIND)):
                ended = process.end()
                assert ended.status == 0, ended.err
                require_wrong_clock(ended, error)
        chunks = "chunk" if verb == "plan" else "run_chunk"
        assert site.number(f"SELECT max(attempt)::bigint FROM cleanup.{chunks}") == 1
        assert stamps_outside(site, begun) == 0
        work.settle()


def stamps_outside(site: Site, begun: datetime) -> int:
    """How many of the ledger's stamps are not from between an instant and now."""
    columns = (
        ("chunk", "finished_at"), ("batch", "written_at"), ("change_log", "logged_at"), ("run", "created_at"),
        ("run", "finished_at"), ("event", "at"), ("plan", "finished_at"),
    )  # fmt: skip
    long_before = begun - TOLERANCE
    return sum(
        site.number(
            f"SELECT count(*) FROM cleanup.{table} WHERE {column} NOT BETWEEN %s AND clock_timestamp()", long_before
        )
        for table, column in columns
    )
