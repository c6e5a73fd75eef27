"""The sign-off report: its numbers against SQL of the test's own, its texts against the posts, hostile ones too."""

import csv
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from cleanup.demo.server import Server
from cleanup.report.json_schema import schemas
from tests.integration.jobs import LINK, PLACEHOLDER, Job, Report
from tests.integration.report_posts import FORMULA, planned

ROWS: Final = 1_500
# Each span with its words in plain text, by other means than the ledger's own view.
_EXPLODED: Final = """
    FROM cleanup.finding AS f, cleanup.plan AS p, LATERAL jsonb_array_elements(f.spans::jsonb) AS coded(span),
         LATERAL (SELECT jsonb_agg(CASE WHEN place > 2 AND jsonb_typeof(part) = 'number'
                                        THEN to_jsonb(p.words[part::int + 1]) ELSE part END ORDER BY place) AS span
                    FROM jsonb_array_elements(coded.span) WITH ORDINALITY AS e(part, place)) AS s,
         cleanup.plan_leaf AS l, cleanup.plan_column AS c
   WHERE p.plan_id = f.plan_id AND l.plan_id = f.plan_id AND l.leaf_number = f.leaf_number
     AND c.plan_id = f.plan_id AND c.table_name = l.table_name AND c.column_number = f.column_number"""


@pytest.fixture
def job(server: Server, linguistic_collation: str) -> Iterator[Job]:
    with planned(server, linguistic_collation, ROWS) as made:
        yield made


def details_of(report: Report) -> Report:
    details = report["details"]
    assert isinstance(details, dict)
    return details


def lines(report: Report, name: str) -> list[Report]:
    found = report[name]
    assert isinstance(found, list)
    return found


def pairs(job: Job, query: str, *parameters: object) -> dict[object, object]:
    return {line[0]: line[1] for line in job.execute(query, *parameters)}


def test_every_number_is_what_sql_of_the_tests_own_says(job: Job) -> None:
    report = job.done("report", 1, "--format", "json").report
    details = details_of(report)
    for table in lines(report, "tables"):
        name = str(table["table"]).partition(".")[2]
        assert table["rows"] == job.number(f'SELECT count(*) FROM "{name}"')
        of_table = (
            "FROM cleanup.finding AS f JOIN cleanup.plan_leaf AS l USING (plan_id, leaf_number) WHERE l.table_name = %s"
        )
        assert table["findings"] == job.number(f"SELECT count(*) {of_table}", table["table"])
        assert table["actionable"] == job.number(f"SELECT count(*) {of_table} AND f.actionable", table["table"])
        refused = f"SELECT refusal, count(*) {of_table} AND refusal IS NOT NULL GROUP BY 1"
        assert table["refusals"] == pairs(job, refused, table["table"])
    scopes = pairs(
        job,
        """SELECT CASE WHEN created_at >= '2021-08-02 00:00+08' THEN 'after_cutover' WHEN is_live THEN 'exempt'
                       WHEN created_at IS NULL THEN 'undated' ELSE 'historical' END, count(*)
             FROM note GROUP BY 1""",
    )
    (note,) = (table for table in lines(report, "tables") if table["table"] == "public.note")
    assert note["scopes"] == scopes

    classes = {
        tuple(map(str, key)): (values, links)
        for *key, values, links in job.execute(
            "SELECT l.table_name, c.column_name, c.format, f.scope, s.span ->> 2, s.span ->> 3, s.span ->> 4,"
            " s.span ->> 5, count(DISTINCT (l.leaf_name, f.key, c.column_name)), count(*)"
            f" {_EXPLODED} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8"
        )
    }
    names = ("table", "column", "format", "scope", "platform", "kind", "decision", "reason")
    assert classes == {
        tuple(str(one[name]) for name in names): (one["values"], one["links"]) for one in lines(details, "classes")
    }
    assert len(classes) > 60
    months = job.execute(
        "SELECT coalesce(to_char(f.created_at AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM'), ''), f.scope, s.span ->> 4,"
        f" count(*) {_EXPLODED} GROUP BY 1, 2, 3"
    )
    assert sorted(months, key=str) == sorted(
        ((one["month"], one["scope"], one["decision"], one["links"]) for one in lines(details, "months")), key=str
    )
    changed = "AND f.actionable AND s.span ->> 4 IN ('redact', 'rewrite')"
    authors = job.execute(
        f"SELECT f.author, count(DISTINCT f.finding_number), count(*) {_EXPLODED} {changed} AND f.author IS NOT NULL"
        " GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 20"
    )
    assert authors == [(one["author"], one["values"], one["links"]) for one in lines(details, "authors")]
    hosts = job.execute(f"SELECT coalesce(nullif(s.span ->> 6, ''), s.span ->> 3), count(*) {_EXPLODED} GROUP BY 1")
    counted = {line[0]: line[1] for line in hosts}
    shown = [(host, links) for host, links in map(list, lines(report, "hosts"))]
    assert len(shown) == 20
    assert {host: counted[host] for host, _ in shown} == dict(shown)
    assert sorted(map(str, counted.values()), key=int)[-20:] == sorted((str(links) for _, links in shown), key=int)
    _require_spreads(job, details, changed)


def _require_spreads(job: Job, details: Report, changed: str) -> None:
    spreads = details["spreads"]
    assert isinstance(spreads, dict)
    links = f"SELECT (s.span ->> 1)::int - (s.span ->> 0)::int AS n {_EXPLODED} {changed}"
    values = f"SELECT count(*) AS n {_EXPLODED} {changed} GROUP BY f.finding_number"
    authors = f"SELECT count(*) AS n {_EXPLODED} {changed} AND f.author IS NOT NULL GROUP BY f.author"
    for name, query in (("link_lengths", links), ("links_of_values", values), ("links_of_authors", authors)):
        for line in spreads[name]:
            most = line["most"] or 10**9
            counted = job.number(f"SELECT count(*) FROM ({query}) AS q WHERE n BETWEEN {line['least']} AND {most}")
            assert line["things"] == counted, (name, line)


def test_sums_that_do_not_agree_make_no_report(job: Job) -> None:
    job.tamper("DELETE FROM cleanup.finding WHERE finding_number = (SELECT min(finding_number) FROM cleanup.finding)")
    answer = job.call("report", 1)
    assert answer.status == 70
    assert "does not add up: values with links or problems" in answer.err


def test_samples_of_every_class_show_the_change_within_the_posts_own_text(job: Job) -> None:
    report = job.done("report", 1, "--format", "json", "--samples", 3).report
    details = details_of(report)
    samples = lines(details, "samples")
    names = ("table", "column", "scope", "platform", "kind", "decision")
    per_class = Counter(tuple(one[name] for name in names) for one in samples)
    links = Counter[tuple[object, ...]]()
    for one in lines(details, "classes"):
        links[tuple(one[name] for name in names)] += int(str(one["links"]))
    reviewed = {key for key in links if key[-1] == "review"}
    assert {key: number for key, number in per_class.items() if key not in reviewed} == {
        key: min(number, 3) for key, number in links.items() if key not in reviewed
    }
    assert {one["reason"] for one in lines(details, "classes") if one["decision"] == "review"} == {
        one["reason"] for one in samples if one["decision"] == "review"
    }
    assert {one["state"] for one in samples} == {"as_planned"}
    bodies = {str(identifier): str(body) for identifier, body in job.execute("SELECT id, body FROM note")}
    ours = [one for one in samples if one["table"] == "public.note" and one["column"] == "body"]
    assert len(ours) > 20
    for one in ours:
        body = bodies[str(lines(one, "key")[0])]
        before, link, after = (str(one[name]) for name in ("context_before", "link", "context_after"))
        assert before.removeprefix("…") + link + after.removesuffix("…") in body
        assert len(before) <= 61
        assert len(after) <= 61
        if one["decision"] == "redact" and one["scope"] == "historical":
            assert one["put_there"] == PLACEHOLDER
        else:
            assert one["put_there"] is None


def test_a_text_that_changed_since_is_not_shown_as_planned(job: Job) -> None:
    job.execute("UPDATE note SET body = 'rewritten: SECRET' WHERE body IS NOT NULL")
    job.execute("DELETE FROM comment")
    samples = lines(details_of(job.done("report", 1, "--format", "json").report), "samples")
    states = {(one["table"], one["column"], one["state"]) for one in samples}
    assert ("public.note", "body", "changed_since") in states
    assert ("public.note", "title", "as_planned") in states
    assert ("public.comment", "body", "gone") in states
    assert not any("SECRET" in json.dumps(one) for one in samples)
    job.done("report", 1, "--diff", "diff.jsonl")
    diff = [json.loads(line) for line in (job.folder / "diff.jsonl").read_text().splitlines()]
    told = {(line["table"], line["column"], line["text"]) for line in diff}
    assert ("public.note", "body", "changed_since") in told
    assert ("public.comment", "body", "gone") in told
    assert all(link["before"] is None for line in diff if line["text"] != "as_planned" for link in line["links"])


def test_the_diff_names_every_finding_and_leads_from_before_to_after(job: Job) -> None:
    job.done("report", 1, "--diff", "diff.jsonl")
    job.done("report", 1, "--diff", "diff.csv")
    file = job.folder / "diff.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_bytes().isascii()
    diff = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(diff) == job.number("SELECT count(*) FROM cleanup.finding")
    before = pairs(job, "SELECT id::text, body FROM note")
    job.done("approve", 1, "--digest", str(job.done("report", 1, "--format", "json").report["digest"]), *SIGNED)
    job.done("apply", 1, status=1)
    after = pairs(job, "SELECT id::text, body FROM note")
    for line in (one for one in diff if one["table"] == "public.note" and one["column"] == "body"):
        text, written = str(before[line["key"][0]]), 0
        for link in line["links"]:
            start = link["start"] + written
            assert text[start:].startswith(link["before"])
            text = text[:start] + link["after"] + text[start + len(link["before"]) :]
            written += len(link["after"]) - len(link["before"])
        assert text == after[line["key"][0]]
    with (job.folder / "diff.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == sum(len(line["links"]) or 1 for line in diff)
    assert {row["finding"] for row in rows} == {str(line["finding"]) for line in diff}


SIGNED: Final = ("--by", "Ana", "--ticket", "CHG-1")


def test_nothing_in_a_post_acts_in_a_page_a_terminal_or_a_spreadsheet(job: Job) -> None:
    job.done("report", 1, "--html", "plan.html", "--csv", "tables", "--samples", 50, "--diff", "diff.csv")
    page = (job.folder / "plan.html").read_text()
    assert "<script>document.title" not in page
    assert "&lt;script&gt;document.title" in page
    assert "onerror=alert(2)&gt;" in page
    # A megabyte on either side of a link stays where it is.
    assert len(page) < 3_000_000
    assert _hidden(page) == set()
    texts = job.done("report", 1, "--samples", 50).out
    assert _hidden(texts) == set()
    assert "\\u202egnp.exe" in texts
    assert _hidden(job.done("report", 1, "--format", "json", "--samples", 50).out) == set()
    for file in [job.folder / "diff.csv", *(job.folder / "tables").iterdir()]:
        content = file.read_text()
        assert _hidden(content) == set(), file
        with file.open(newline="") as table:
            for row in csv.reader(table):
                assert not [cell for cell in row if cell.startswith(("=", "+", "@", "\t")) or re.match(r"-\D", cell)], (
                    file
                )
    assert FORMULA in (job.folder / "diff.csv").read_text().replace("'=", "=")


def _hidden(text: str) -> set[str]:
    return {mark for mark in text if mark != "\n" and unicodedata.category(mark) in ("Cc", "Cf", "Cs", "Zl", "Zp")}


def test_an_unfinished_plan_says_so_on_its_first_line(job: Job) -> None:
    # As an interrupted scan leaves it: what is done is there, and there is no digest.
    job.tamper("UPDATE cleanup.plan SET state = 'scanning', finished_at = NULL, digest = NULL, findings_digest = NULL")
    first = job.done("report", 1).out.splitlines()[0]
    assert first.startswith("THIS PLAN IS SCANNING")
    job.done("report", 1, "--html", "plan.html")
    body = (job.folder / "plan.html").read_text().partition("<body>")[2]
    assert body.lstrip().startswith('<p class="alert">This plan is scanning.')
    assert "cleanup approve" not in body
    # JSON has it before every number.
    assert list(job.done("report", 1, "--format", "json").report)[:3] == ["plan_id", "base_plan_id", "state"]
    assert job.done("report", 1, "--format", "json").report["state"] == "scanning"


@pytest.mark.parametrize("state", ["scanning", "abandoned"])
def test_tables_and_a_diff_of_an_unfinished_plan_are_refused(job: Job, state: str) -> None:
    # A row of a table does not say that others are missing.
    job.tamper("UPDATE cleanup.plan SET state = %s, finished_at = NULL, digest = NULL, findings_digest = NULL", state)
    for words in (["--csv", "tables"], ["--diff", "diff.csv"], ["--html", "plan.html", "--csv", "tables"]):
        answer = job.call("report", 1, *words)
        assert (answer.status, answer.codes) == (1, ["CLN-102"])
        assert f"plan 1 is {state}" in answer.err
    assert not [name for name in ("tables", "diff.csv", "plan.html") if (job.folder / name).exists()]


def test_without_its_config_a_report_says_what_is_missing(job: Job) -> None:
    job.config_file.rename(job.folder / "elsewhere.toml")
    job.done("report", 1, "--html", "plan.html")
    page = (job.folder / "plan.html").read_text()
    assert "no config was given" in page
    assert "The readings are missing here" in page
    assert LINK not in page
    job.done("report", 1, "--html", "plan.html", "--config", "elsewhere.toml")
    page = (job.folder / "plan.html").read_text()
    assert "no config was given" not in page
    assert "platforms.taobao.kinds.short.decision" in page


def test_a_runs_report_says_what_was_planned_done_and_left(job: Job) -> None:
    plan = job.done("report", 1, "--format", "json")
    forecast = details_of(plan.report)["forecast"]
    assert isinstance(forecast, dict)
    assert forecast["seconds"] is None
    job.done("approve", 1, "--digest", str(plan.report["digest"]), *SIGNED)
    job.done("apply", 1, status=1)
    run = job.done("report", "--run", 1, "--format", "json").report
    tables = {line["table"]: (line["planned"], line["written"]) for line in lines(details_of(run), "tables")}
    assert tables == {line["table"]: (line["actionable"], line["actionable"]) for line in lines(plan.report, "tables")}
    assert run["refused_by_plan"] == job.number("SELECT count(*) FROM cleanup.finding WHERE refusal IS NOT NULL")
    assert run["refused_by_plan"] != 0
    _require_schema(plan.report, "plan-report")
    _require_schema(run, "run-report")

    job.done("report", "--run", 1, "--html", "run.html", "--csv", "run")
    assert "cleanup log 1 --changed-keys" in (job.folder / "run.html").read_text()
    assert {file.name for file in (job.folder / "run").iterdir()} >= {"outcomes.csv", "tables.csv", "passes.csv"}
    measured = details_of(job.done("report", 1, "--format", "json").report)["forecast"]
    assert isinstance(measured, dict)
    assert measured["log_bytes"] == pytest.approx(forecast["log_bytes"], rel=1.0)

    job.execute("UPDATE note SET body = 'mine now' WHERE id = 9000000")
    job.done("rollback", 1, status=1)
    rollback = details_of(job.done("report", "--run", 2, "--format", "json").report)
    # The one link of that body has no place any more.
    assert lines(rollback, "conflicts") == [{"reason": "not_found", "links": 1}]
    assert "rewrote the text around it" in job.done("report", "--run", 2).out


def _require_schema(report: object, name: str) -> None:
    (schema,) = (json.loads(text) for path, text in schemas().items() if path.name.startswith(name))
    problems = list(_problems(report, schema, schema["$defs"], "$"))
    assert problems == []


def _problems(value: object, schema: Report, definitions: Report, place: str) -> Iterator[str]:
    """What of a value does not fit a schema, for the words that ours are made of."""
    if "$ref" in schema:
        named = definitions[str(schema["$ref"]).removeprefix("#/$defs/")]
        assert isinstance(named, dict)
        yield from _problems(value, named, definitions, place)
    elif "anyOf" in schema:
        if not any(not list(_problems(value, one, definitions, place)) for one in lines(schema, "anyOf")):
            yield f"{place}: fits none"
    elif "enum" in schema:
        if value not in lines(schema, "enum"):
            yield f"{place}: {value}"
    else:
        yield from _typed(value, schema, definitions, place)


def _typed(value: object, schema: Report, definitions: Report, place: str) -> Iterator[str]:
    kinds: dict[str, type | tuple[type, ...]] = {
        "array": list,
        "object": dict,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    kind = schema["type"]
    if not isinstance(value, kinds[str(kind)]) or (isinstance(value, bool) and kind != "boolean"):
        yield f"{place}: {value!r} is no {kind}"
    elif kind == "array":
        items = lines(schema, "prefixItems") if "prefixItems" in schema else None
        assert isinstance(value, list)
        for number, one in enumerate(value):
            of_item = items[number] if items else schema["items"]
            assert isinstance(of_item, dict)
            yield from _problems(one, of_item, definitions, f"{place}[{number}]")
    elif kind == "object":
        assert isinstance(value, dict)
        named = schema.get("properties", {})
        assert isinstance(named, dict)
        missing = set(lines(schema, "required") if "required" in schema else []) - value.keys()
        yield from (f"{place}.{name}: missing" for name in missing)
        for name, one in value.items():
            of_value = named.get(name, schema.get("additionalProperties"))
            if isinstance(of_value, dict):
                yield from _problems(one, of_value, definitions, f"{place}.{name}")
            else:
                yield f"{place}.{name}: unknown"


def test_the_published_schemas_are_those_of_the_models() -> None:
    for path, text in schemas().items():
        assert path.read_text(encoding="utf-8") == text, f"run python -m cleanup.report.json_schema ({path.name})"


def test_a_file_that_can_not_be_written_is_told(job: Job) -> None:
    Path(job.folder / "taken").write_text("")
    assert job.call("report", 1, "--html", "taken/plan.html").codes == ["CLN-205"]
    assert job.call("report", 1, "--diff", "diff.xlsx").codes == ["CLN-204"]
    assert not list(job.folder.glob(".*"))
