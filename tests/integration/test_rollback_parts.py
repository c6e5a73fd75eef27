"""Rolling back on a real server: parts by every option, dry runs, approvals, conflicts, and rollbacks of rollbacks."""

import json
from pathlib import Path

import pytest

from tests.integration.jobs import PLACEHOLDER, POLICY, Answer, Job

TAOBAO = "https://item.taobao.com/item.htm?id=525"
TMALL = "https://detail.tmall.com/item.htm?id=625"
BOTH = f"看这里 {TAOBAO} 的裙子，还有 {TMALL} 那里的外套"
SCHEMA = f"""
CREATE TABLE post (id bigint PRIMARY KEY, author text, created_at timestamptz NOT NULL, body text);
CREATE TABLE remark (post bigint, number int, author text, created_at timestamptz NOT NULL, body text,
                     PRIMARY KEY (post, number));
INSERT INTO post SELECT n, 'a' || n % 3, '2020-01-01'::timestamptz + make_interval(days => n::int), '{BOTH} ' || n
  FROM generate_series(1, 20) AS n;
INSERT INTO remark SELECT n, m, 'b', '2020-01-01', '{BOTH} ' || n || m
  FROM generate_series(1, 3) AS n, generate_series(1, 2) AS m;
"""
CONFIG = f"""
policy = "{POLICY}"
[[table]]
name = "public.post"
author = "author"
created_at = "created_at"
columns = {{ body = "text" }}
[[table]]
name = "public.remark"
author = "author"
created_at = "created_at"
columns = {{ body = "text" }}
[pace]
lanes = 1
chunk_rows = 7
"""


@pytest.fixture
def job(database_dsn: str, tmp_path: Path) -> Job:
    """Two tables whose every post has a Taobao and a Tmall link, and a ledger."""
    made = Job(database_dsn, tmp_path, CONFIG)
    made.execute(SCHEMA)
    made.done("init")
    return made


@pytest.fixture
def run(job: Job) -> Answer:
    """The run that took them all out."""
    return job.apply(job.plan())


def bodies(job: Job) -> list[str]:
    """Every text of both tables, in order."""
    return [
        str(body)
        for (body,) in job.execute("SELECT body FROM post ORDER BY id")
        + job.execute("SELECT body FROM remark ORDER BY 1")
    ]


def back(job: Job, run: Answer, *options: str, status: int = 0) -> Answer:
    """Roll a part back."""
    return job.done("rollback", run.number("run_id"), *options, "--format", "json", status=status)


def outcomes(answer: Answer) -> dict[str, tuple[int, int]]:
    """Values and links by outcome."""
    lines = answer.report["outcomes"]
    assert isinstance(lines, list)
    return {line["outcome"]: (line["findings"], line["spans"]) for line in lines}


@pytest.mark.parametrize(
    ("options", "query"),
    [
        (("--table", "public.remark"), "SELECT count(*) FROM remark"),
        (("--table", "public.post", "--key", "3", "--key", "12"), "SELECT 2::bigint"),
        (("--table", "public.remark", "--key", '["2","1"]'), "SELECT 1::bigint"),
        (("--author", "a1"), "SELECT count(*) FROM post WHERE author = 'a1'"),
        (("--since", "2020-01-11T00:00:00Z"), "SELECT count(*) FROM post WHERE created_at >= '2020-01-11'"),
        (
            ("--until", "2020-01-05T08:00:00+08:00", "--table", "public.post"),
            "SELECT count(*) FROM post WHERE created_at < '2020-01-05'",
        ),
        (("--changed-until", "2021-01-01T00:00:00Z"), "SELECT 0::bigint"),
        (("--changed-since", "2021-01-01T00:00:00Z"), "SELECT 26::bigint"),
        (("--kind", "shop"), "SELECT 0::bigint"),
        (("--decision", "rewrite"), "SELECT 0::bigint"),
    ],
)
def test_every_option_selects_its_part(job: Job, run: Answer, options: tuple[str, ...], query: str) -> None:
    expected = job.number(query)
    preview = back(job, run, *options, "--dry-run")
    assert preview.number("values") == expected
    assert sum(PLACEHOLDER not in body for body in bodies(job)) == 0, "a dry run wrote something"
    part = back(job, run, *options)
    assert part.number("planned_findings") == part.number("settled_findings") == expected
    assert sum(PLACEHOLDER not in body for body in bodies(job)) == expected
    # The rest goes back later, and then all is what it was.
    rest = back(job, run)
    assert outcomes(rest).get("already_restored", (0, 0))[0] == expected
    assert all(body.startswith(BOTH) for body in bodies(job))


def test_one_platform_goes_back_alone_and_its_rollback_takes_it_out_again(job: Job, run: Answer) -> None:
    before = bodies(job)
    part = back(job, run, "--platform", "taobao")
    assert outcomes(part) == {"restored": (26, 26)}
    assert all(TAOBAO in body and TMALL not in body for body in bodies(job))
    again = back(job, part)
    assert outcomes(again) == {"restored": (26, 26)}
    assert bodies(job) == before
    # All four runs are proved by verify, whatever came after them.
    whole = back(job, run)
    assert all(body.startswith(BOTH) for body in bodies(job))
    for each in (part, again, whole):
        job.verify(each)


def test_values_of_one_key_in_two_tables_and_in_two_columns_are_told_apart(job: Job) -> None:
    """What came back of one value says nothing of the others with its key."""
    job.execute(
        f"ALTER TABLE post ADD title text; UPDATE post SET title = '{TMALL} 标题' WHERE id <= 4;"
        "CREATE TABLE note (LIKE post INCLUDING ALL); INSERT INTO note SELECT * FROM post WHERE id <= 6"
    )
    titled = CONFIG.replace('"text" }', '"text", title = "text" }', 1)
    table = titled[titled.index("[[table]]") : titled.rindex("[[table]]")].replace("public.post", "public.note")
    job.config_file.write_text(titled.replace("[pace]", f"{table}[pace]"), encoding="utf-8")
    run = job.apply(job.plan())
    # Of the posts, the bodies alone: titles have no link to Taobao.
    assert outcomes(back(job, run, "--table", "public.post", "--platform", "taobao")) == {"restored": (20, 20)}
    # Of the rest, nothing is taken for a value that somebody has edited since.
    found = outcomes(back(job, run))
    assert found == {"restored": (20 + 6 + 4 + 6 + 4, 20 + 12 + 4 + 12 + 4), "already_restored": (0, 20)}
    assert all(body.startswith(BOTH) for body in bodies(job))
    assert job.execute("SELECT title FROM post EXCEPT SELECT title FROM note") == []


def test_a_dry_run_says_what_the_run_then_does(job: Job, run: Answer) -> None:
    job.execute("UPDATE post SET body = '【更新】' || body WHERE id <= 5")
    job.execute("UPDATE post SET body = '重写了' WHERE id = 6")
    job.execute("DELETE FROM post WHERE id = 7")
    untouched = job.checksums()
    preview = back(job, run, "--dry-run", status=1)
    assert job.checksums() == untouched
    assert preview.report["outcomes"] == {"restored": 19, "restored_after_edit": 5, "conflict": 1, "row_gone": 1}
    real = back(job, run, status=1)
    assert {name: values for name, (values, _) in outcomes(real).items()} == preview.report["outcomes"]
    assert bodies(job)[:5] == [f"【更新】{BOTH} {number}" for number in range(1, 6)]
    assert bodies(job)[5] == "重写了"


def test_a_conflict_names_row_column_link_and_texts(job: Job, run: Answer) -> None:
    job.execute("UPDATE post SET body = '只剩 ' || split_part(body, '，', 1) WHERE id = 4")
    preview = back(job, run, "--dry-run", status=1)
    conflicts = preview.report["conflicts"]
    assert isinstance(conflicts, list)
    (case,) = conflicts
    assert (case["leaf_name"], case["column_name"], case["key"]) == ("public.post", "body", ["4"])
    assert (case["link_number"], case["reason"], case["link"], case["put_there"]) == (
        1,
        "not_found",
        TMALL,
        PLACEHOLDER,
    )
    assert case["text_now"] == f"只剩 看这里 {PLACEHOLDER} 的裙子"
    rollback = back(job, run, status=1)
    assert outcomes(rollback)["restored_in_part"] == (1, 0)
    assert outcomes(rollback)["conflict"] == (0, 1)
    left = rollback.report["left"]
    assert isinstance(left, list)
    assert [(one["key"], one["outcome"], one["detail"]) for one in left] == [
        (["4"], "restored_in_part", "link 2: not_found")
    ]
    assert f"只剩 看这里 {TAOBAO} 的裙子" in bodies(job)
    listed = job.done("log", rollback.number("run_id"), "--conflicts")
    assert [json.loads(line)["link"] for line in listed.out.splitlines()] == [TMALL]


def test_an_open_rollback_of_another_part_is_in_the_way(job: Job, run: Answer) -> None:
    part = back(job, run, "--platform", "taobao")
    # As after a kill: the rollback is open again.
    job.tamper(
        "UPDATE cleanup.run SET state = 'running', finished_at = NULL, log_head = NULL WHERE run_id = %s",
        part.number("run_id"),
    )
    refused = job.call("rollback", run.number("run_id"))
    assert (refused.status, refused.codes) == (1, ["CLN-113"])
    assert "taobao" in refused.err
    assert back(job, run, "--platform", "taobao").number("run_id") == part.number("run_id")


def test_where_the_config_says_so_a_rollback_needs_an_approval(job: Job, run: Answer) -> None:
    job.config_file.write_text(CONFIG + "[approval]\nrollbacks = true\n", encoding="utf-8")
    number = run.number("run_id")
    refused = job.call("rollback", number, "--platform", "taobao")
    assert (refused.status, refused.codes) == (1, ["CLN-103"])
    digest = str(back(job, run, "--platform", "taobao", "--dry-run").report["digest"])
    assert digest in refused.err
    signing = ("--digest", digest, "--by", "Ana", "--ticket", "CHG-2")
    # The digest is of that part of that run, and of nothing else.
    assert job.call("approve", "--rollback", number, *signing).codes == ["CLN-105"]
    job.done("approve", "--rollback", number, "--platform", "taobao", *signing)
    assert job.call("rollback", number).codes == ["CLN-103"]
    part = back(job, run, "--platform", "taobao")
    assert outcomes(part) == {"restored": (26, 26)}
    # It is used up.
    assert job.call("rollback", number, "--platform", "taobao").codes == ["CLN-103"]
    assert job.number("SELECT count(*) FROM cleanup.run WHERE approval_id IS NOT NULL AND kind = 'rollback'") == 1


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--key", "3"), "CLN-204"),
        (("--table", "public.post", "--key", "[broken"), "CLN-204"),
        (("--since", "2020-01-01"), "CLN-204"),
        (("--until", "yesterday"), "CLN-204"),
        (("--table", "public.post", "--keys-file", "no-such-file"), "CLN-203"),
    ],
)
def test_options_that_say_nothing_are_refused(job: Job, run: Answer, options: tuple[str, ...], code: str) -> None:
    refused = job.call("rollback", run.number("run_id"), *options)
    assert (refused.status, refused.codes) == (2, [code])
    assert "HINT" in refused.err


def test_names_that_the_run_does_not_have_are_refused(job: Job, run: Answer) -> None:
    for options in (("--table", "public.nothing"), ("--platform", "amazon"), ("--kind", "nothing")):
        refused = job.call("rollback", run.number("run_id"), *options)
        assert (refused.status, refused.codes) == (2, ["CLN-204"]), options
        assert options[1] in refused.err
