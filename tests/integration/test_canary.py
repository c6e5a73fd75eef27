"""A canary stops by itself for a look, and the same command goes on under the same approval."""

from pathlib import Path

import pytest

from tests.integration.jobs import LINK, PLACEHOLDER, POLICY, Job

INTERRUPTED = 4
ROWS = 60
CONFIG = f"""
policy = "{POLICY}"
[[table]]
name = "public.post"
created_at = "created_at"
columns = {{ body = "text", title = "text" }}
[pace]
lanes = 3
chunk_rows = 20
"""


@pytest.fixture
def job(database_dsn: str, tmp_path: Path) -> Job:
    """Sixty posts with two links each, in three chunks."""
    made = Job(database_dsn, tmp_path, CONFIG)
    made.execute("CREATE TABLE post (id int PRIMARY KEY, created_at timestamptz NOT NULL, body text, title text)")
    made.execute("INSERT INTO post SELECT n, '2020-01-01', %s, %s FROM generate_series(1, %s) AS n", LINK, LINK, ROWS)
    made.done("init")
    return made


def changed(job: Job) -> list[object]:
    """The keys of the posts that are changed, in both columns or in one."""
    found = job.execute("SELECT id FROM post WHERE body = %s OR title = %s ORDER BY id", PLACEHOLDER, PLACEHOLDER)
    return [key for (key,) in found]


def test_it_stops_behind_a_whole_row_and_goes_on_under_the_same_approval(job: Job) -> None:
    plan = job.plan()
    job.approve(plan)
    number = plan.number("plan_id")
    # Seven findings are three posts and a half: the fourth is not left half changed.
    stopped = job.done("apply", number, "--canary", 7, status=INTERRUPTED)
    assert stopped.codes == ["CLN-405"]
    assert "8 findings are settled" in stopped.err
    assert f"cleanup apply {number}" in stopped.err
    assert changed(job) == [1, 2, 3, 4]
    assert job.number("SELECT count(*) FROM post WHERE body = %s AND title = %s", PLACEHOLDER, PLACEHOLDER) == 4
    assert job.execute("SELECT state FROM cleanup.run") == [("interrupted",)]
    # A second look is as many findings further; it leads over the end of a chunk.
    job.done("apply", number, "--canary", 40, status=INTERRUPTED)
    assert changed(job) == list(range(1, 25))
    run = job.done("apply", number, "--format", "json")
    assert len(changed(job)) == ROWS
    assert run.number("outcomes", 0, "findings") == 2 * ROWS
    assert job.number("SELECT count(*) FROM cleanup.approval") == 1
    job.verify(run)


def test_a_canary_that_covers_everything_finishes_the_run(job: Job) -> None:
    plan = job.plan()
    job.approve(plan)
    run = job.done("apply", plan.number("plan_id"), "--canary", 2 * ROWS, "--format", "json")
    assert run.report["state"] == "finished"
    assert len(changed(job)) == ROWS


def test_the_newest_first_are_the_last_chunks_first(job: Job) -> None:
    plan = job.plan()
    job.approve(plan)
    job.done("apply", plan.number("plan_id"), "--newest-first", "--canary", 10, status=INTERRUPTED)
    assert changed(job) == [41, 42, 43, 44, 45]
    run = job.done("apply", plan.number("plan_id"), "--newest-first", "--format", "json")
    assert len(changed(job)) == ROWS
    job.verify(run)
