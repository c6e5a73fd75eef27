"""What the policy leaves to a person: exported, decided in a file, and a plan of its own that is signed and applied."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cleanup.resources import config_directory
from tests.integration.jobs import LINK, PLACEHOLDER, POLICY, Answer, Job

REFUSED = 1
SHORT = "http://xhslink.com/AbCdE"
BATCH = "https://xhsurl.com/Ab3dE"
SCHEMA = """
CREATE TABLE post (
    id int PRIMARY KEY, created_at timestamptz NOT NULL, author_id int, body text, page text, note text, card json,
    link text, short varchar(22)
)
"""
CONFIG = """
policy = "{policy}"
[[table]]
name = "public.post"
created_at = "created_at"
author = "author_id"
[table.columns]
body = "text"
page = "html"
note = "markdown"
card = "json"
link = {{ format = "url", on_redact = "null" }}
short = "text"
[pace]
lanes = 1
chunk_rows = 4
"""
# By column, a value that waits for a person in each of its formats.
TEXTS: Mapping[str, str] = {
    "body": f"=cmd|' /C calc'!A0 看 {SHORT} 好 \u202e 和 {LINK}",
    "page": f'<p>买 &amp; <a href="{SHORT}">戳 <b>我</b></a> 或 <a href="{BATCH}">{BATCH}</a></p>',
    "note": f"[戳我]({SHORT}) 和 {LINK}",
    "card": '{"a": "看 http:\\/\\/xhslink.com\\/AbCdE \\"x\\"", "b": 1.0}',
    "link": SHORT,
}
Line = dict[str, object]


@pytest.fixture
def job(database_dsn: str, tmp_path: Path) -> Job:
    """A post with a short link in every format, five with one in the body, one after the cutover; and a ledger."""
    made = Job(database_dsn, tmp_path, CONFIG.format(policy=POLICY))
    made.execute(SCHEMA)
    names = ", ".join(TEXTS)
    made.execute(
        f"INSERT INTO post (id, created_at, author_id, {names}) VALUES (1, '2020-01-01', 7, %s, %s, %s, %s, %s)",
        *TEXTS.values(),
    )
    made.execute(
        "INSERT INTO post (id, created_at, author_id, body) SELECT n, '2020-01-01', n, %s || ' ' || n"
        "  FROM generate_series(2, 6) AS n",
        BATCH,
    )
    made.execute("INSERT INTO post (id, created_at, body) VALUES (9, '2022-01-01', %s)", BATCH)
    made.done("init")
    return made


def export(job: Job, plan_id: int, name: str = "review.jsonl") -> list[Line]:
    """What waits for a person in a plan."""
    file = job.folder / name
    file.unlink(missing_ok=True)
    job.done("review", plan_id, "--export", str(file))
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def hand_in(job: Job, plan_id: int, lines: Sequence[Mapping[str, object]], *, status: int = 0) -> Answer:
    """Import these lines."""
    file = job.folder / "decisions.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return job.done("review", plan_id, "--import", str(file), "--by", "Mei", "--format", "json", status=status)


def sign_and_apply(job: Job, imported: Answer, *, status: int = 0) -> Answer:
    """The run of the plan that an import has made."""
    digest, plan_id = str(imported.report["digest"]), imported.number("plan_id")
    job.done("approve", plan_id, "--digest", digest, "--by", "Ana", "--ticket", "CHG-2")
    return job.done("apply", plan_id, "--format", "json", status=status)


def posts(job: Job) -> list[tuple[object, ...]]:
    """Every text of every post."""
    return job.execute("SELECT id, body, page, note, card::text, link, short FROM post ORDER BY id")


def outcomes(run: Answer) -> dict[str, tuple[int, int]]:
    """Findings and spans by outcome."""
    lines = run.report["outcomes"]
    assert isinstance(lines, list)
    return {line["outcome"]: (line["findings"], line["spans"]) for line in lines}


def test_the_export_says_what_waits_and_nothing_in_it_steers_a_screen(job: Job) -> None:
    plan = job.plan()
    before = job.checksums()
    lines = export(job, plan.number("plan_id"))
    assert [(line["column"], line["span"]) for line in lines if line["key"] == ["1"]] == [
        ("body", 0),
        ("page", 0),
        ("page", 1),
        ("note", 0),
        ("card", 0),
        ("link", 0),
    ]
    # The post after the cutover is not touched, so nobody has to decide it.
    assert {str(line["key"]) for line in lines} == {f"['{n}']" for n in range(1, 7)}
    first = lines[0]
    assert (first["link"], first["before"], first["host"]) == (SHORT, TEXTS["body"].partition(SHORT)[0], "xhslink.com")
    assert {line["plan"] for line in lines} == {plan.report["digest"]}
    raw = (job.folder / "review.jsonl").read_text(encoding="utf-8")
    assert "\u202e" not in raw
    assert (job.folder / "review.jsonl").stat().st_mode & 0o077 == 0
    job.done("review", plan.number("plan_id"), "--export", str(job.folder / "review.csv"))
    with (job.folder / "review.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(lines)
    assert not any(str(cell).startswith(("=", "+", "-", "@")) for row in table for cell in row.values())
    assert job.checksums() == before
    assert "11 links wait for a person" in job.done("review", plan.number("plan_id")).out


def test_what_a_person_redacts_becomes_what_the_policy_would_have_made_of_it(job: Job) -> None:
    original = posts(job)
    plan = job.plan()
    imported = hand_in(
        job, plan.number("plan_id"), [{"host": host, "decision": "redact"} for host in ("xhslink.com", "xhsurl.com")]
    )
    assert imported.report["decided"] == {"redact": 11}
    assert imported.report["digest"] != plan.report["digest"]
    reports = [job.done("report", number, "--format", "json") for number in (1, 2)]
    assert reports[0].report["digest"] == plan.report["digest"]
    run = sign_and_apply(job, imported)
    decided = posts(job)
    assert decided[0][5] is None
    assert job.execute("SELECT body FROM post WHERE id = 9") == [(BATCH,)]
    job.verify(run)
    job.roll_back(run)
    assert posts(job) == original

    # The policy itself says redact now, wherever it said review.
    text = (config_directory() / POLICY).read_text(encoding="utf-8").replace('"review"', '"redact"')
    (job.folder / "strict.toml").write_text(text, encoding="utf-8")
    job.config_file.write_text(CONFIG.format(policy="strict.toml"), encoding="utf-8")
    job.apply(job.plan())
    assert posts(job) == decided


def test_decisions_for_some_leave_the_others_waiting_and_each_is_on_record(job: Job) -> None:
    plan = job.plan().number("plan_id")
    lines = export(job, plan)
    mine = {**lines[0], "decision": "keep"}
    imported = hand_in(job, plan, [mine, {"host": "xhslink.com", "decision": "redact"}, *lines[1:]])
    assert imported.report["decided"] == {"keep": 1, "redact": 4}
    second = imported.number("plan_id")
    # A line for one span goes before a pattern; the rest waits in the new plan, and can be decided there.
    assert {line["host"] for line in export(job, second)} == {"xhsurl.com"}
    assert len(export(job, plan)) == len(lines)
    assert job.execute("SELECT reviewer, decided_as = session_user, reviewed_plan_id FROM cleanup.review") == [
        ("Mei", True, plan)
    ]
    assert job.execute(
        "SELECT decision, file_line, count(*) FROM cleanup.review_decision GROUP BY 1, 2 ORDER BY 2"
    ) == [("keep", 1, 1), ("redact", 2, 4)]
    # The same file again, perhaps after a lost answer, makes no second plan.
    again = hand_in(job, plan, [mine, {"host": "xhslink.com", "decision": "redact"}, *lines[1:]])
    assert (again.number("plan_id"), again.report["made_before"]) == (second, True)
    third = hand_in(job, second, [{"author": "3", "decision": "redact"}])
    # What nobody has decided is left, and whoever applies the plan is told so: of eleven links, five.
    run = sign_and_apply(job, third, status=REFUSED)
    assert outcomes(run) == {"changed": (6, 7), "kept": (0, 1), "awaiting_review": (0, 5)}
    assert str(posts(job)[0][1]).count(SHORT) == 1
    assert job.execute("SELECT id FROM post WHERE body LIKE %s ORDER BY id", f"{PLACEHOLDER}%") == [(3,)]
    assert job.verify(run, status=REFUSED).number("awaiting_review") == 5
    spans = job.done("report", 3, "--format", "json").report["spans"]
    assert isinstance(spans, list)
    reasons = {(line["decision"], line["reason"].startswith("decided in review: ")) for line in spans}
    assert {("keep", True), ("redact", True), ("review", False)} <= reasons


def test_a_spreadsheet_is_as_good(job: Job) -> None:
    plan = job.plan().number("plan_id")
    job.done("review", plan, "--export", str(job.folder / "review.csv"))
    with (job.folder / "review.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["decision"] = "redact" if row["host"] == "xhsurl.com" else "keep"
    # As a spreadsheet saves it: in another order of lines and columns, quoted where it must be.
    with (job.folder / "back.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, sorted(rows[0]))
        writer.writeheader()
        writer.writerows(reversed(rows))
    answer = job.done("review", plan, "--import", "back.csv", "--by", "Mei", "--format", "json")
    assert answer.report["decided"] == {"keep": 5, "redact": 6}


def test_a_file_that_does_not_fit_is_refused_whole_with_every_problem(job: Job) -> None:
    plan = job.plan().number("plan_id")
    lines = export(job, plan)
    good = {**lines[0], "decision": "redact"}
    before = job.checksums()
    answer = hand_in(
        job,
        plan,
        [
            good,
            {**lines[1], "finding": 77, "decision": "redact"},
            {**lines[2], "finding_hash": "00", "decision": "redact"},
            {**lines[3], "plan": "ab" * 32, "decision": "redact"},
            {**lines[4], "note": "x", "decision": "redact"},
            {**lines[5], "decision": "rewrite"},
            {**lines[6], "decision": "redact"},
            {**lines[6], "decision": "keep"},
            {"host": "xhsurl.com", "decision": "redact"},
            {"platform": str(lines[-1]["platform"]), "decision": "keep"},
            {"host": "no.such", "decision": "keep"},
            {**lines[7], "reason": "another", "decision": "redact"},
            {"decision": "keep"},
            {"key": ["1"], "host": "xhslink.com", "decision": "keep"},
        ],
        status=REFUSED,
    )
    assert answer.codes == ["CLN-123"]
    for number, problem in (
        (2, "has no span 0 that waits"),
        (3, "finding_hash '00' where the plan has"),
        (4, "is for the plan with digest abab"),
        (5, "unknown field 'note'"),
        (6, "'rewrite' is not redact or keep"),
        (7, "decide the same span differently"),
        (9, "decide differently on finding"),
        (11, "fits no span that waits"),
        (12, "reason 'another' where the plan has"),
        (13, "names neither a finding nor any of"),
        (14, "a pattern has no key"),
    ):
        assert any(f"line {number}" in line and problem in line for line in answer.err.splitlines()), (number, problem)
    assert job.checksums() == before
    (job.folder / "broken.jsonl").write_text(
        '{"host": "xhslink.com", "decision": "keep"}\n{"a": \n[1]\n', encoding="utf-8"
    )
    broken = job.done("review", plan, "--import", "broken.jsonl", "--by", "Mei", status=REFUSED)
    assert "line 2: is not JSON" in broken.err
    assert "line 3: is no JSON object" in broken.err
    assert job.checksums() == before


def test_a_decision_that_would_not_fit_its_column_is_refused(job: Job) -> None:
    text = (config_directory() / POLICY).read_text(encoding="utf-8")
    long = text.replace('placeholder = "[链接已移除]"', 'placeholder = "[链接已按照平台规定移除，请勿点击]"')
    (job.folder / "long.toml").write_text(long, encoding="utf-8")
    job.config_file.write_text(CONFIG.format(policy="long.toml"), encoding="utf-8")
    # The link has 17 characters and what takes its place 18: the first text fills its column, the second does not.
    job.execute("UPDATE post SET short = '好好好好 xhslink.com/AbCdE' WHERE id = 2")
    job.execute("UPDATE post SET short = '好好好 xhslink.com/AbCdE' WHERE id = 3")
    plan = job.plan().number("plan_id")
    before = job.checksums()
    decision = {"column": "short", "decision": "redact"}
    answer = hand_in(job, plan, [decision], status=REFUSED)
    assert "the result would not fit its column (too_long)" in answer.err
    assert job.checksums() == before
    (full,) = [line for line in export(job, plan) if line["column"] == "short" and line["key"] == ["2"]]
    imported = hand_in(job, plan, [decision, {**full, "decision": "keep"}])
    assert imported.report["decided"] == {"keep": 1, "redact": 1}


def test_what_was_edited_since_is_decided_by_the_policy_again(job: Job) -> None:
    plan = job.plan().number("plan_id")
    job.execute("UPDATE post SET body = body || ' edited before the import' WHERE id = 2")
    imported = hand_in(job, plan, [{"host": "xhsurl.com", "decision": "redact"}])
    assert (imported.report["decided"], imported.number("edited")) == ({"redact": 5}, 1)
    job.execute("UPDATE post SET body = body || ' edited after it' WHERE id = 3")
    job.execute("UPDATE post SET body = 'nothing is left' WHERE id = 4")
    job.execute("UPDATE post SET body = body || %s WHERE id = 5", f" 和 {LINK}")
    run = sign_and_apply(job, imported, status=REFUSED)
    assert outcomes(run) == {
        "already_clean": (1, 1),
        # Two in a post that was edited since it was decided, and six that nobody has decided.
        "awaiting_review": (1, 8),
        "changed": (4, 4),
        "changed_after_edit": (1, 1),
    }
    assert job.execute("SELECT id FROM post WHERE body LIKE '%xhsurl.com%' ORDER BY id") == [(2,), (3,), (5,), (9,)]
    left = job.verify(run, status=REFUSED).report["left"]
    assert isinstance(left, list)
    assert [(one["outcome"], one["key"]) for one in left] == [("awaiting_review", ["3"])]


def test_a_plan_that_was_applied_is_not_reviewed_any_more(job: Job) -> None:
    plan = job.plan()
    job.apply(plan, status=REFUSED)
    answer = hand_in(job, plan.number("plan_id"), [{"host": "xhsurl.com", "decision": "redact"}], status=REFUSED)
    assert answer.codes == ["CLN-108"]


def test_a_finding_that_was_changed_in_the_ledger_is_not_passed_on(job: Job) -> None:
    plan = job.plan().number("plan_id")
    job.tamper("UPDATE cleanup.finding SET author = 'x' WHERE plan_id = %s AND key = '[\"6\"]'", plan)
    answer = hand_in(job, plan, [{"host": "xhslink.com", "decision": "redact"}], status=REFUSED)
    assert answer.codes == ["CLN-105"]
    assert job.number("SELECT count(*) FROM cleanup.plan") == 1
