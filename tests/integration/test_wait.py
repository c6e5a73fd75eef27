"""apply --wait: a count-down by the server's clock, ended by a signal, or by the cutover and the run."""

import signal
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cleanup.resources import config_directory
from tests.faults.jobs import Process, wait_for
from tests.integration.jobs import LINK, PLACEHOLDER, POLICY, Job, subprocess_environment

REFUSED, INTERRUPTED = 1, 4
CONFIG = """
policy = "policy.toml"
[[table]]
name = "public.post"
created_at = "created_at"
columns = { body = "text" }
[approval]
expires_after_hours = 1
[pace]
lanes = 1
"""


@pytest.fixture
def job(database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """One post with a link, and a ledger."""
    for name, value in subprocess_environment().items():
        monkeypatch.setenv(name, value)
    made = Job(database_dsn, tmp_path, CONFIG)
    made.execute("CREATE TABLE post (id int PRIMARY KEY, created_at timestamptz NOT NULL, body text)")
    made.execute("INSERT INTO post VALUES (1, '2020-01-01', %s)", LINK)
    made.done("init")
    return made


def cutover_in(job: Job, seconds: float) -> datetime:
    """Write a policy whose cutover is so far away by the server's clock."""
    ((now,),) = job.execute("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    cutover = now + timedelta(seconds=seconds)
    lines = (config_directory() / POLICY).read_text(encoding="utf-8").splitlines()
    text = "\n".join(f"cutover = {cutover.isoformat()}" if line.startswith("cutover = ") else line for line in lines)
    (job.folder / "policy.toml").write_text(text, encoding="utf-8")
    return cutover


@pytest.fixture
def waiting(job: Job) -> Iterator[list[Process]]:
    """Processes that are ended with the test."""
    del job
    started: list[Process] = []
    yield started
    for process in started:
        process.kill()


def start_waiting(job: Job, plan_id: int, waiting: list[Process]) -> Process:
    """`apply --wait` as a process of its own, once it counts down."""
    words = ["apply", str(plan_id), "--wait", "--config", str(job.config_file), "--dsn", job.dsn]
    process = Process([sys.executable, "-m", "cleanup", *words], job.folder / f"waiting-{len(waiting)}")
    waiting.append(process)
    wait_for("the count-down", lambda: "cutover.awaited" in process.said(), process=process)
    return process


def test_it_applies_from_the_cutover_on_by_the_servers_clock(job: Job, waiting: list[Process]) -> None:
    cutover = cutover_in(job, 30)
    plan = job.plan()
    job.approve(plan)
    assert job.done("apply", plan.number("plan_id"), status=REFUSED).codes == ["CLN-109"]
    process = start_waiting(job, plan.number("plan_id"), waiting)
    assert job.number("SELECT count(*) FROM cleanup.run") == 0
    ended = process.end()
    assert ended.status == 0, ended.err
    assert job.number("SELECT count(*) FROM cleanup.run WHERE created_at < %s", cutover) == 0
    assert job.execute("SELECT body FROM post") == [(PLACEHOLDER,)]


def test_a_signal_ends_the_wait_and_nothing_was_written(job: Job, waiting: list[Process]) -> None:
    cutover_in(job, 3_000)
    plan = job.plan()
    job.approve(plan)
    before = job.checksums()
    process = start_waiting(job, plan.number("plan_id"), waiting)
    process.signal(signal.SIGTERM)
    ended = process.end()
    assert ended.status == INTERRUPTED, ended.err
    assert "CLN-401" in ended.err
    assert f"cleanup apply {plan.number('plan_id')} --wait" in ended.err
    assert job.checksums() == before


def test_what_would_be_refused_at_the_cutover_is_refused_before_the_wait(job: Job) -> None:
    cutover_in(job, 3_600 * 24)
    plan = job.plan()
    number = plan.number("plan_id")
    assert job.done("apply", number, "--wait", status=REFUSED).codes == ["CLN-103"]
    # Good for one hour, and the cutover is tomorrow.
    job.approve(plan)
    assert job.done("apply", number, "--wait", status=REFUSED).codes == ["CLN-104"]
    cutover_in(job, 1_000)
    assert job.done("apply", number, "--wait", status=REFUSED).codes == ["CLN-106"]
