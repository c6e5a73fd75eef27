"""Which rows and values a job takes up: exemptions, predicates, dates, and values that can not be changed."""

import csv
from pathlib import Path

import pytest

from cleanup.resources import config_directory
from tests.integration.jobs import LINK, PLACEHOLDER, POLICY, Answer, Job

SCHEMA = """
CREATE TABLE post (
    id bigint PRIMARY KEY, note_id bigint, created_at timestamptz, body text, kind text, short varchar(30), card text
);
CREATE TABLE live_note (id bigint);
"""
CONFIG = """
policy = "{policy}"
[[table]]
name = "public.post"
created_at = "created_at"
{more}
columns = {{ body = "text", short = "text", card = "json" }}
[pace]
lanes = 1
"""


@pytest.fixture
def job(database_dsn: str, tmp_path: Path) -> Job:
    """An empty table and a ledger."""
    made = Job(database_dsn, tmp_path, CONFIG.format(policy=POLICY, more=""))
    made.execute(SCHEMA)
    made.done("init")
    return made


def configure(job: Job, more: str, policy: str = POLICY) -> None:
    """Add to the table's config."""
    job.config_file.write_text(CONFIG.format(policy=policy, more=more), encoding="utf-8")


def scopes(plan: Answer) -> dict[str, object]:
    """The one table's line of the report."""
    tables = plan.report["tables"]
    assert isinstance(tables, list)
    (line,) = tables
    assert isinstance(line, dict)
    return line


def clean(job: Job) -> set[object]:
    """The rows whose body was redacted."""
    return {identifier for (identifier,) in job.execute("SELECT id FROM post WHERE body = %s", PLACEHOLDER)}


def test_rows_of_an_exempt_post_stay_whoever_they_are_found_by(job: Job) -> None:
    job.execute("INSERT INTO live_note VALUES (10), (20), (NULL)")
    job.execute(
        "INSERT INTO post (id, note_id, created_at, body) SELECT n, nullif(n, 3) * 10, '2020-01-01', %s"
        "  FROM generate_series(1, 4) AS n",
        LINK,
    )
    configure(job, 'exempt_by = { table = "public.live_note", key = "id", column = "note_id" }\nexempt = "id = 4"')
    plan = job.plan()
    assert scopes(plan)["scopes"] == {"historical": 1, "exempt": 3}
    run = job.apply(plan)
    assert clean(job) == {3}
    job.verify(run)

    job.execute("DELETE FROM live_note WHERE id = 10")
    assert job.done("verify", "--format", "json", status=1).number("sweep", "unplanned") == 1


def test_a_row_that_became_exempt_since_the_plan_stays(job: Job) -> None:
    job.execute("INSERT INTO post (id, note_id, created_at, body) VALUES (1, 10, '2020-01-01', %s)", LINK)
    configure(job, 'exempt_by = { table = "public.live_note", key = "id", column = "note_id" }')
    plan = job.plan()
    job.execute("INSERT INTO live_note VALUES (10)")
    run = job.apply(plan)
    assert run.report["outcomes"] == [{"outcome": "exempt_now", "findings": 1, "spans": 1}]
    assert clean(job) == set()
    job.verify(run)


def test_a_predicate_that_is_null_counts_as_false_and_is_counted(job: Job) -> None:
    job.execute(
        "INSERT INTO post (id, created_at, body, kind) VALUES (1, '2020-01-01', %s, 'note'),"
        " (2, '2020-01-01', %s, 'live'), (3, '2020-01-01', %s, NULL), (4, '2020-01-01', 'quiet', NULL)",
        LINK,
        LINK,
        LINK,
    )
    configure(job, "exempt = \"kind = 'live'\"")
    plan = job.plan()
    assert scopes(plan)["scopes"] == {"historical": 3, "exempt": 1}
    assert scopes(plan)["null_predicates"] == 2
    configure(job, "where = \"kind LIKE '%o%'\"")
    plan = job.plan()
    assert scopes(plan)["scopes"] == {"historical": 1, "outside": 3}
    assert scopes(plan)["null_predicates"] == 2
    run = job.apply(plan)
    assert clean(job) == {1}
    job.verify(run)


@pytest.mark.parametrize(("undated", "redacted"), [("leave", {1}), ("include", {1, 3})])
def test_the_cutover_divides_the_posts_and_undated_ones_are_a_class_of_their_own(
    job: Job, undated: str, redacted: set[int]
) -> None:
    job.execute(
        "INSERT INTO post (id, created_at, body) VALUES (1, '2021-08-01 23:59:59.999999+08', %s),"
        " (2, '2021-08-02 00:00+08', %s), (3, NULL, %s)",
        LINK,
        LINK,
        LINK,
    )
    configure(job, f'undated = "{undated}"')
    plan = job.plan()
    assert scopes(plan)["findings"] == 3
    job.verify(job.apply(plan))
    assert clean(job) == redacted


LATER = "2021-09-01 12:00+08"


@pytest.fixture
def early_and_late(job: Job) -> Job:
    """A historical post, one from the very cutover on, one of a live-stream after it."""
    job.execute(
        "INSERT INTO post (id, created_at, kind, body) VALUES (1, '2020-01-01', 'note', %s),"
        " (2, '2021-08-02 00:00+08', 'note', %s), (3, %s, 'live', %s)",
        LINK,
        LINK,
        LATER,
        LINK,
    )
    return job


def include_later(job: Job, setting: str = "include") -> None:
    """Say what is to become of posts created from the cutover on."""
    configure(job, f'after_cutover = "{setting}"\nexempt = "kind = \'live\'"')


def test_later_posts_are_planned_changed_verified_and_rolled_back_where_the_config_includes_them(
    early_and_late: Job,
) -> None:
    job = early_and_late
    include_later(job)
    plan = job.plan()
    line = scopes(plan)
    assert (line["scopes"], line["actionable"], line["after_cutover"]) == ({"historical": 2, "exempt": 1}, 2, "include")
    run = job.apply(plan)
    assert clean(job) == {1, 2}
    job.verify(run)

    # What comes in from now on is in scope too: the sweep sees it, and a delta plan changes it.
    job.execute("INSERT INTO post (id, created_at, body) VALUES (4, %s, %s)", LATER, LINK)
    assert job.verify(run, status=1).number("sweep", "unplanned") == 1
    delta = job.plan("--since", plan.number("plan_id"))
    job.verify(job.apply(delta))
    assert clean(job) == {1, 2, 4}

    job.verify(job.roll_back(run))
    assert clean(job) == {4}


def test_later_posts_are_counted_and_left_where_the_config_does_not_say_otherwise(early_and_late: Job) -> None:
    job = early_and_late
    plan = job.plan()
    line = scopes(plan)
    assert (line["scopes"], line["findings"], line["actionable"]) == ({"historical": 1, "after_cutover": 2}, 3, 1)
    run = job.apply(plan)
    assert clean(job) == {1}
    job.execute("INSERT INTO post (id, created_at, body) VALUES (4, %s, %s)", LATER, LINK)
    job.verify(run)
    assert "(after_cutover" not in job.done("report", plan.number("plan_id")).out


def test_the_report_says_of_which_table_later_posts_are_in_scope(early_and_late: Job) -> None:
    job = early_and_late
    include_later(job)
    printed = job.done("plan").out
    said = 'public.post: posts created from the cutover on are in scope too (after_cutover = "include")'
    assert said in printed
    assert said in job.done("report", 1).out
    job.done("report", 1, "--html", "plan.html", "--csv", "tables")
    with (job.folder / "tables" / "later.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1:] == [["public.post", "redact", "1", "1"]]
    page = (job.folder / "plan.html").read_text(encoding="utf-8")
    assert "and of later ones where the config says so" in page
    assert '<table id="later"' in page


@pytest.mark.parametrize(("planned", "present"), [("include", "leave"), ("leave", "include")])
def test_a_plan_is_applied_only_with_its_own_answer_to_later_posts(
    early_and_late: Job, planned: str, present: str
) -> None:
    job = early_and_late
    include_later(job, planned)
    plan = job.plan()
    job.approve(plan)
    include_later(job, present)
    refused = job.done("apply", plan.number("plan_id"), status=1)
    assert refused.codes == ["CLN-106"]
    assert f'public.post.after_cutover: "{planned}" then, "{present}" now' in refused.err
    assert clean(job) == set()


def test_a_result_too_long_for_its_column_is_refused_at_plan_time_and_left(job: Job) -> None:
    text = (config_directory() / POLICY).read_text(encoding="utf-8")
    long = text.replace('placeholder = "[链接已移除]"', 'placeholder = "[链接已按照平台规定移除，请勿点击]"')
    (job.folder / "long.toml").write_text(long, encoding="utf-8")
    configure(job, "", "long.toml")
    # The link has 13 characters and what takes its place 18: the first text fills its column before, the second not.
    job.execute(
        "INSERT INTO post (id, created_at, short) VALUES (1, '2020-01-01', repeat('好', 16) || ' tb.cn/a1b2c3d'),"
        " (2, '2020-01-01', repeat('好', 10) || ' tb.cn/a1b2c3d')"
    )
    plan = job.plan()
    assert scopes(plan)["refusals"] == {"too_long": 1}
    assert scopes(plan)["actionable"] == 1
    before = job.execute("SELECT short FROM post WHERE id = 1")
    run = job.apply(plan, status=1)
    assert job.execute("SELECT short FROM post WHERE id = 1") == before
    assert "tb.cn" not in str(job.execute("SELECT short FROM post WHERE id = 2"))

    verified = job.verify(run, status=1)
    left = verified.report["left"]
    assert isinstance(left, list)
    assert [(one["outcome"], one["column_name"], one["key"]) for one in left] == [("too_long", "short", ["1"])]
    assert "public.post.short 1: too_long" in job.done("verify", run.number("run_id"), status=1).out
    job.execute("UPDATE post SET short = 'quiet' WHERE id = 1")
    job.verify(run)


def test_invalid_json_in_a_text_column_is_reported_and_left(job: Job) -> None:
    job.execute(
        "INSERT INTO post (id, created_at, card) VALUES (1, '2020-01-01', %s), (2, '2020-01-01', %s)",
        f'{{"a": "{LINK}"',
        f'{{"a": "{LINK}"}}',
    )
    plan = job.plan()
    assert scopes(plan)["refusals"] == {"unreadable": 1}
    run = job.apply(plan, status=1)
    assert job.execute("SELECT card FROM post ORDER BY id") == [
        (f'{{"a": "{LINK}"',),
        (f'{{"a": "{PLACEHOLDER}"}}',),
    ]
    left = job.verify(run, status=1).report["left"]
    assert isinstance(left, list)
    assert [(one["outcome"], one["key"]) for one in left] == [("unreadable", ["1"])]
    # Written after the plan: the sweep finds it, though no run could change it.
    job.execute("INSERT INTO post (id, created_at, card) VALUES (3, '2020-01-01', %s)", f'["{LINK}"')
    left = job.verify(run, status=1).report["left"]
    assert isinstance(left, list)
    assert sorted(one["key"] for one in left) == [["1"], ["3"]]


def test_another_client_encoding_changes_nothing(job: Job) -> None:
    job.execute("INSERT INTO post (id, created_at, body) VALUES (1, '2020-01-01', %s)", f"桂花乌龙 {LINK} 🌿")
    answer = job.run("plan", "--format", "json", PGCLIENTENCODING="GBK", PGTZ="Asia/Shanghai", PGDATESTYLE="German")
    assert answer.status == 0, answer.err
    run = job.apply(answer)
    assert job.execute("SELECT body FROM post") == [(f"桂花乌龙 {PLACEHOLDER} 🌿",)]
    job.verify(run)
