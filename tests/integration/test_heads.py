"""The heads of a log leave the database: in the job's log events, in status, in reports and from verify."""

import json
from pathlib import Path

import pytest

from tests.integration.jobs import LINK, POLICY, Answer, Job

CONFIG = f"""
policy = "{POLICY}"
[[table]]
name = "public.post"
created_at = "created_at"
columns = {{ body = "text" }}
[pace]
lanes = 2
chunk_rows = 20
batch_rows_max = 5
"""


@pytest.fixture
def job(database_dsn: str, tmp_path: Path) -> Job:
    made = Job(database_dsn, tmp_path, CONFIG, separate=True)
    made.execute("CREATE TABLE post (id int PRIMARY KEY, created_at timestamptz, body text)")
    made.execute(f"INSERT INTO post SELECT n, '2021-01-01', 'see {LINK} ' || n FROM generate_series(1, 60) AS n")
    made.done("init")
    return made


def events(answer: Answer, name: str) -> list[dict[str, object]]:
    """What the job and its lanes told the log host under that name."""
    lines = [json.loads(line) for line in answer.err.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def test_every_batch_and_the_run_tell_their_heads_to_the_log_host(job: Job) -> None:
    run = job.apply(job.plan())
    kept = {event["head"] for event in events(run, "batch.committed")}
    assert len(kept) == 12
    assert kept == {head for (head,) in job.execute("SELECT encode(head, 'hex') FROM cleanup.batch")}
    ((finished,),) = [[event["log_head"]] for event in events(run, "run.finished")]
    assert job.execute("SELECT encode(log_head, 'hex') FROM cleanup.run") == [(finished,)]
    assert f"head {finished}" in job.done("verify", 1).out
    assert run.report["log_head"] == finished
    for words in (("status", 1), ("report", "--run", 1)):
        assert job.done(*words, "--format", "json").report["log_head"] == finished
        assert f"log head {finished}\n" in job.done(*words).out
    assert str(finished)[:16] in job.done("status").out


def test_an_open_run_has_a_head_as_far_as_it_has_come(job: Job) -> None:
    plan = job.plan()
    job.approve(plan)
    stopped = job.run("apply", plan.number("plan_id"), "--canary", 10)
    heads = [head_of(job)]
    ((told,),) = [[event["log_head"]] for event in events(stopped, "run.canary_reached")]
    assert told == heads[0]
    kept = "SELECT detail ->> 'log_head' FROM cleanup.event WHERE name = 'run.canary_reached'"
    assert job.execute(kept) == [(told,)]
    assert f"log head {told} so far\n" in job.done("status", 1).out
    job.done("apply", plan.number("plan_id"))
    heads.append(head_of(job))
    assert heads[0] != heads[1]
    assert job.done("verify", 1, "--format", "json").report["log_problems"] == []


def head_of(job: Job) -> object:
    return job.done("status", 1, "--format", "json").report["log_head"]
