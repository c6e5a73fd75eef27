"""The whole job on five kinds of key: every row ends as the finder alone says, and comes back as it was."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache

import psycopg
import pytest

from cleanup.demo.server import Server
from cleanup.links.finder import Finder
from cleanup.links.policy import load_policy
from cleanup.resources import config_directory
from tests.integration import five_tables
from tests.integration.five_tables import FIVE, ROWS, Dump
from tests.integration.jobs import POLICY, Answer, Job, new_database, new_folder

LEFT = 1
OUTCOMES = {"redact": "changed", "keep": "kept", "review": "awaiting_review"}
PACE = "\n[pace]\nlanes = {lanes}\nchunk_rows = {chunk_rows}\nbatch_rows_max = 400\n"
# A live-stream's article, an hour before and an hour after the cutover: only the zone tells which is which.
ZONED = """
INSERT INTO "Article" (slug, written, kind, page) VALUES
    ('before', '2021-08-01 23:00', 'note', 'https://item.taobao.com/item.htm?id=1'),
    ('after', '2021-08-02 01:00', 'note', 'https://item.taobao.com/item.htm?id=2'),
    ('live', '2021-08-01 23:00', 'live', 'https://item.taobao.com/item.htm?id=3')
"""


@cache
def finder() -> Finder:
    """One for all: it remembers nothing of a text, and our own memory of its answers hangs on it."""
    return Finder(load_policy(config_directory() / POLICY))


@pytest.fixture
def loaded(server: Server, linguistic_collation: str) -> Iterator[Job]:
    """The five tables with their posts, and no ledger."""
    with new_database(server) as dsn, new_folder() as folder:
        with psycopg.connect(dsn) as connection:
            five_tables.create(connection, linguistic_collation)
            connection.execute(ZONED)
        yield Job(dsn, folder, five_tables.TABLES + PACE.format(lanes=2, chunk_rows=1_700), separate=True)


def test_every_row_ends_as_the_finder_says_and_comes_back(loaded: Job) -> None:
    with psycopg.connect(loaded.dsn) as connection:
        before = five_tables.dump(connection)
        expected = five_tables.expected_after(connection, finder())
    _require_telling(loaded, before, expected)
    loaded.done("init")

    plan = loaded.plan()
    assert loaded.number("SELECT count(*) FROM cleanup.chunk") > 60
    assert _dump(loaded) == before

    run = loaded.apply(plan, status=LEFT)
    after = _dump(loaded)
    assert _differences(after, expected) == []
    _require_outcomes_to_add_up(plan, run)
    _require_explain_to_agree(loaded, before, after)

    # What is left is what the policy leaves to a person, and nothing else.
    verified = loaded.verify(run, status=LEFT)
    assert verified.number("sweep", "unplanned") == 0
    assert verified.report["left"] == verified.report["log_problems"] == []
    assert verified.number("awaiting_review") > 0
    assert verified.report["values"] == {"as_written": run.number("log_rows")}
    loaded.done("verify")

    loaded.config_file.write_text(five_tables.TABLES + PACE.format(lanes=3, chunk_rows=4_001), encoding="utf-8")
    rollback = loaded.roll_back(run)
    assert rollback.number("log_rows") == run.number("log_rows")
    assert _differences(_dump(loaded), before) == []
    loaded.verify(rollback)

    # The rolled back posts are those of the first plan: other lanes and chunks find the same in them.
    again = loaded.plan()
    assert again.report["findings_digest"] == plan.report["findings_digest"]
    assert again.report["digest"] == plan.report["digest"]
    assert again.report["spans"] == plan.report["spans"]


def _dump(job: Job) -> Dump:
    with psycopg.connect(job.dsn) as connection:
        return five_tables.dump(connection)


def _differences(one: Dump, other: Dump) -> list[object]:
    """The rows in which two dumps differ, so that a failure can be read."""
    return [
        (table, key, one[table].get(key), other[table].get(key))
        for table in one
        for key in one[table].keys() | other[table].keys()
        if one[table].get(key) != other[table].get(key)
    ]


def _require_telling(job: Job, before: Dump, expected: Dump) -> None:
    """The posts must be able to show a mistake: links changed and kept in each column, keys that defy byte order."""
    changed: Counter[tuple[str, str]] = Counter()
    kept: Counter[tuple[str, str]] = Counter()
    for table in FIVE:
        assert len(before[table.name]) >= ROWS
        for key, texts in before[table.name].items():
            for column, text, after in zip(table.columns, texts, expected[table.name][key], strict=True):
                changed[table.name, column.name] += text != after
                kept[table.name, column.name] += text == after and text is not None and ".taobao.com" in text
    places = {(table.name, column.name) for table in FIVE for column in table.columns}
    assert {place for place in places if changed[place] < 10} == set()
    assert {place for place in places if not kept[place]} == set()
    order = job.execute(
        'SELECT array_agg(slug ORDER BY slug) = array_agg(slug ORDER BY slug COLLATE "C") FROM "Article"'
    )
    assert order == [(False,)]


def _require_outcomes_to_add_up(plan: Answer, run: Answer) -> None:
    tables = plan.report["tables"]
    outcomes = run.report["outcomes"]
    assert isinstance(tables, list)
    assert isinstance(outcomes, list)
    assert sum(table["actionable"] for table in tables) == run.number("settled_findings")
    assert all(sum(table["scopes"].values()) == table["rows"] for table in tables)
    spans = plan.report["spans"]
    assert isinstance(spans, list)
    planned = Counter[str]()
    for line in spans:
        if line["scope"] == "historical":
            planned[OUTCOMES[line["decision"]]] += line["spans"]
    assert planned == {line["outcome"]: line["spans"] for line in outcomes}


def _require_explain_to_agree(job: Job, before: Dump, after: Dump) -> None:
    """Ask the command itself about every changed page: it needs no database, and must say what was done."""
    changed = [key for key, texts in before["Article"].items() if texts[0] != after["Article"][key][0]]
    lines = [
        json.dumps({"id": key, "format": "html", "text": before["Article"][key][0]}, ensure_ascii=False)
        for key in changed
    ]
    (job.folder / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    answers = job.run("explain", "--jsonl", "texts.jsonl").out.splitlines()
    assert [json.loads(answer)["after"] for answer in answers] == [after["Article"][key][0] for key in changed]
