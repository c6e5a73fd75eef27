"""What authors bring in after the plan: unplanned at verify, listed, and cleared by a delta plan."""

from pathlib import Path

import pytest

from cleanup.resources import config_directory
from tests.integration.jobs import LINK, PLACEHOLDER, POLICY, Answer, Job

SCHEMA = """
CREATE TABLE post (id bigint PRIMARY KEY, created_at timestamptz NOT NULL, body text, title text);
CREATE TABLE archive (id bigint, created_at timestamptz, body text, PRIMARY KEY (id, created_at))
    PARTITION BY RANGE (created_at);
CREATE TABLE archive_2020 PARTITION OF archive FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE archive_2021 PARTITION OF archive FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
INSERT INTO post
    SELECT n, '2020-05-01', CASE WHEN n % 2 = 0 THEN 'https://item.taobao.com/item.htm?id=' || n ELSE 'quiet' END, 't'
      FROM generate_series(1, 40) AS n;
INSERT INTO archive SELECT id, '2020-05-01', body FROM post;
CREATE TABLE archive_2019 (LIKE archive INCLUDING ALL);
"""
CONFIG = f"""
policy = "{POLICY}"
[[table]]
name = "public.post"
created_at = "created_at"
columns = {{ body = "text", title = "text" }}
[[table]]
name = "public.archive"
created_at = "created_at"
columns = {{ body = "text" }}
[pace]
lanes = 1
chunk_rows = 15
"""


@pytest.fixture
def job(database_dsn: str, tmp_path: Path) -> Job:
    """Two tables with a link in every other row, and a ledger."""
    made = Job(database_dsn, tmp_path, CONFIG)
    made.execute(SCHEMA)
    made.done("init")
    return made


def outcomes(run: Answer) -> dict[str, int]:
    """Findings by outcome."""
    lines = run.report["outcomes"]
    assert isinstance(lines, list)
    return {line["outcome"]: line["findings"] for line in lines if line["findings"]}


def unplanned(verified: Answer) -> set[tuple[str, str, str]]:
    """The places that verify lists: leaf, column and the first part of the key."""
    sweep = verified.report["sweep"]
    assert isinstance(sweep, dict)
    assert sweep["unplanned"] == len(sweep["examples"])
    return {(place["leaf_name"], place["column_name"], place["key"][0]) for place in sweep["examples"]}


def test_what_authors_wrote_since_the_plan_is_unplanned_until_a_delta_plan_clears_it(job: Job) -> None:
    plan = job.plan()
    job.execute(f"INSERT INTO post VALUES (101, '2020-06-01', '新 {LINK}')")
    job.execute(f"UPDATE post SET title = '{LINK}' WHERE id = 3")
    job.execute("INSERT INTO post VALUES (102, '2020-06-01', 'quiet'), (103, '2021-09-01', %s)", LINK)
    job.execute(
        "INSERT INTO post VALUES (104, '2020-06-01', %s, 'http://xhslink.com/6HZF6Ka')",
        "https://www.goofish.com/item?id=1",
    )
    run = job.apply(plan)
    assert outcomes(run) == {"changed": 40}

    verified = job.verify(run, status=1)
    assert unplanned(verified) == {("public.post", "body", "101"), ("public.post", "title", "3")}
    told = job.done("verify", run.number("run_id"), status=1).out
    assert "unplanned: public.post.body 101" in told
    assert f"cleanup plan --since {plan.number('plan_id')}" in told

    delta = job.plan("--since", plan.number("plan_id"))
    assert delta.report["digest"] != plan.report["digest"]
    # The delta plan leaves the link in post 104 to a person, and whoever applied it is told so.
    again = job.apply(delta, status=1)
    assert outcomes(again) == {"changed": 2}
    assert unplanned(job.verify(run)) == set()
    assert unplanned(job.verify(again, status=1)) == set()
    told = job.done("verify", 2, status=1).out
    assert "links that wait for a person: 1; they can be decided in a new plan's review" in told
    assert job.execute("SELECT id, body, title FROM post WHERE id IN (3, 101, 103, 104) ORDER BY id") == [
        (3, "quiet", PLACEHOLDER),
        (101, f"新 {PLACEHOLDER}", None),
        # After the cutover, affiliated, and for a person to judge: each stays, and none is unplanned.
        (103, LINK, None),
        (104, "https://www.goofish.com/item?id=1", "http://xhslink.com/6HZF6Ka"),
    ]


def test_what_a_stopped_run_did_not_visit_is_no_matter_for_a_delta_plan(job: Job) -> None:
    plan = job.plan()
    job.approve(plan)
    delta = job.plan("--since", 1)
    job.done("apply", 1, "--canary", 5, status=4)
    job.done("cancel", 1)
    told = job.done("verify", 1, status=1).out
    assert "to handle them: cleanup plan, then approve and apply that plan" in told
    assert "--since" not in told
    refused = job.done("plan", "--since", 1, status=1)
    assert refused.codes == ["CLN-125"]
    # Neither does a delta plan from before it was stopped prove that nothing is left, nor one that stands on that.
    verified = job.verify(job.apply(delta), status=1)
    left = "SELECT count(*) FROM (SELECT body FROM post UNION ALL SELECT body FROM archive) AS b WHERE body ~ 'taobao'"
    assert verified.number("sweep", "unplanned") == job.number(left) > 0
    assert job.done("plan", "--since", 2, status=1).codes == ["CLN-125"]

    job.apply(job.plan())
    job.done("verify", 3)


def test_rows_that_moved_to_another_key_or_partition_are_gone_then_unplanned_then_cleared(job: Job) -> None:
    plan = job.plan()
    job.execute("UPDATE post SET id = 1000 + id WHERE id IN (2, 4)")
    job.execute("UPDATE archive SET created_at = '2021-02-01' WHERE id IN (6, 8)")
    job.execute("DELETE FROM post WHERE id = 10")
    run = job.apply(plan)
    assert outcomes(run) == {"changed": 35, "row_gone": 5}

    verified = job.verify(run, status=1)
    assert unplanned(verified) == {
        ("public.post", "body", "1002"),
        ("public.post", "body", "1004"),
        ("public.archive_2021", "body", "6"),
        ("public.archive_2021", "body", "8"),
    }
    delta = job.plan("--since", plan.number("plan_id"))
    again = job.apply(delta)
    assert outcomes(again) == {"changed": 4}
    job.verify(again)
    job.done("verify")
    assert job.number("SELECT count(*) FROM post WHERE body LIKE '%taobao%'") == 0


def test_a_partition_attached_since_is_read_whole_however_old_its_rows(job: Job) -> None:
    job.execute(f"INSERT INTO archive_2019 VALUES (1, '2019-03-01', '{LINK}'), (2, '2019-03-01', 'quiet')")
    plan = job.plan()
    run = job.apply(plan)
    job.verify(run)
    job.execute("ALTER TABLE archive ATTACH PARTITION archive_2019 FOR VALUES FROM ('2019-01-01') TO ('2020-01-01')")

    assert unplanned(job.verify(run, status=1)) == {("public.archive_2019", "body", "1")}
    again = job.apply(job.plan("--since", plan.number("plan_id")))
    assert outcomes(again) == {"changed": 1}
    job.verify(again)
    job.verify(run)


def test_a_table_swapped_for_another_of_its_name_is_read_whole(job: Job) -> None:
    job.execute("CREATE TABLE post_new (LIKE post INCLUDING ALL)")
    job.execute("INSERT INTO post_new VALUES (1, '2020-01-01', %s)", LINK)
    plan = job.plan()
    run = job.apply(plan)
    job.execute("ALTER TABLE post RENAME TO post_old; ALTER TABLE post_new RENAME TO post")

    assert unplanned(job.verify(run, status=1)) == {("public.post", "body", "1")}
    again = job.apply(job.plan("--since", plan.number("plan_id")))
    assert outcomes(again) == {"changed": 1}


def test_a_run_is_verified_after_a_partition_of_its_was_dropped(job: Job) -> None:
    run = job.apply(job.plan())
    job.execute("DROP TABLE archive_2020")
    assert job.verify(run).report["values"] == {"as_written": 20, "row_gone": 20}


def test_under_another_policy_verify_reads_every_post_again(job: Job) -> None:
    run = job.apply(job.plan())
    job.execute("INSERT INTO post VALUES (200, '2020-01-01', 'https://www.goofish.com/item?id=1')")
    job.verify(run)
    assert job.verify(run).number("sweep", "rows_read") == 41
    strict = job.folder / "strict.toml"
    text = (config_directory() / POLICY).read_text(encoding="utf-8")
    head, keep, rest = text.partition("[platforms.alibaba_affiliated.kinds.affiliated]")
    strict.write_text(head + keep + rest.replace('decision = "keep"', 'decision = "redact"', 1), encoding="utf-8")
    job.config_file.write_text(CONFIG.replace(POLICY, "strict.toml"), encoding="utf-8")
    verified = job.verify(run, status=1)
    assert verified.number("sweep", "rows_read") == 81
    assert unplanned(verified) == {("public.post", "body", "200")}


def test_after_a_run_that_drift_stopped_verify_reads_every_post(job: Job) -> None:
    job.execute("INSERT INTO post SELECT n, '2020-05-01', %s FROM generate_series(1001, 2300) AS n", LINK)
    # A sample of one, the first finding, lets the run begin; what it then visits was edited by authors.
    job.config_file.write_text(CONFIG + "[approval]\ndrift_sample = 1\nmax_drift = 0.1\n", encoding="utf-8")
    plan = job.plan()
    job.execute("UPDATE post SET body = body || ' 改' WHERE id > 2")
    job.approve(plan)
    stopped = job.call("apply", plan.number("plan_id"))
    assert (stopped.status, stopped.codes) == (1, ["CLN-111"]), stopped.err
    assert job.execute("SELECT state FROM cleanup.run") == [("drift_stopped",)]
    verified = job.done("verify", 1, "--format", "json", status=job.call("verify", 1).status)
    assert verified.number("sweep", "rows_read") == job.number(
        "SELECT (SELECT count(*) FROM post) + count(*) FROM archive"
    )
