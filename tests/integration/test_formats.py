"""Each format through the whole job: what becomes of the value, and that the rollback gives it back as it was."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from cleanup.demo.server import Server
from cleanup.resources import config_directory
from tests.integration.jobs import PLACEHOLDER, POLICY, Job, new_database, new_folder

ITEM: Final = "https://item.taobao.com/item.htm?id=525"
MAPPED: Final = "https://t.cn/A6Product"
MAPPED_NOTE: Final = "http://xhslink.com/aNote1"
UNMAPPED: Final = "https://t.cn/A6Unknown"

SCHEMA: Final = """
CREATE TABLE post (
    id int PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT '2021-01-01',
    plain text, short varchar(60), page text, story text, doc json, extra jsonb, loose text,
    shop_url text, card_url text, source_url varchar(200)
);
CREATE TABLE short_link (short_url text PRIMARY KEY, target_url text);
"""

CONFIG: Final = f"""
policy = "{POLICY}"
[resolution]
table = "public.short_link"
short = "short_url"
target = "target_url"
[[table]]
name = "public.post"
created_at = "created_at"
[table.columns]
plain = "text"
short = "text"
page = "html"
story = "markdown"
doc = "json"
extra = {{ format = "json", paths = ["blocks[*]"], leaves = {{ "blocks[*].html" = "html" }} }}
loose = "json"
shop_url = "url"
card_url = {{ format = "url", on_redact = "empty" }}
source_url = {{ format = "url", on_redact = "null" }}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One value of one column, and what it becomes; None is NULL."""

    column: str
    before: str
    after: str | None


CHANGED: Final = (
    Case("plain", f"同款{ITEM}。", f"同款{PLACEHOLDER}。"),
    Case("plain", f"短链 {MAPPED} 看", f"短链 {PLACEHOLDER} 看"),
    Case("page", f'<p>去<a href="{ITEM}">店里</a>看&amp;买</p>', f"<p>去店里{PLACEHOLDER}看&amp;买</p>"),
    Case("page", "<p>item&#46;taobao.com/item.htm?id=9&amp;x=1</p>", f"<p>{PLACEHOLDER}</p>"),
    Case("story", f"# 题\n[店里]({ITEM}) 和 <{ITEM}>", f"# 题\n店里{PLACEHOLDER} 和 <{PLACEHOLDER}>"),
    Case("doc", f'{{ "a" : 1.50, "t":"看\\u0020{ITEM}" }}', f'{{ "a" : 1.50, "t":"看\\u0020{PLACEHOLDER}" }}'),
    Case(
        "doc",
        '{"t":"https:\\/\\/item.taobao.com\\/item.htm?id=1"}',
        f'{{"t":"{PLACEHOLDER}"}}',
    ),
    Case(
        "extra",
        f'{{"link": "{ITEM}", "blocks": [{{"text": "去 {ITEM} 看"}}]}}',
        f'{{"link": "{ITEM}", "blocks": [{{"text": "去 {PLACEHOLDER} 看"}}]}}',
    ),
    Case(
        "extra",
        f'{{"blocks": [{{"html": "去<a href=\\"{ITEM}\\">店里</a>", "text": "<a href=\\"{ITEM}\\">"}}]}}',
        f'{{"blocks": [{{"html": "去店里{PLACEHOLDER}", "text": "<a href=\\"{PLACEHOLDER}\\">"}}]}}',
    ),
    Case("loose", f'["{ITEM}", null, 1e3]', f'["{PLACEHOLDER}", null, 1e3]'),
    Case("shop_url", "https://shop4096.taobao.com/", PLACEHOLDER),
    Case("card_url", ITEM, ""),
    Case("source_url", ITEM, None),
)

KEPT: Final = (
    Case("plain", f"短链 {UNMAPPED} 看", f"短链 {UNMAPPED} 看"),
    Case("plain", f"笔记 {MAPPED_NOTE} 看", f"笔记 {MAPPED_NOTE} 看"),
    Case("page", f'<img src="{ITEM}"><!-- {ITEM} -->', f'<img src="{ITEM}"><!-- {ITEM} -->'),
    Case("extra", f'{{"link": "{ITEM}", "blocks": []}}', f'{{"link": "{ITEM}", "blocks": []}}'),
    Case("source_url", "https://item.jd.com/525.html", "https://item.jd.com/525.html"),
)

LONG_PLACEHOLDER: Final = "[此处原有的商品链接已按平台规定移除，请勿询问]"
TOO_LONG: Final = Case("short", "字" * 40 + " m.tb.cn/h.4abcdeF", "")
UNREADABLE: Final = Case("loose", f'{{"t": "{ITEM}"', "")


@pytest.fixture
def job(server: Server) -> Iterator[Job]:
    with new_database(server) as dsn, new_folder() as folder:
        made = Job(dsn, folder, CONFIG)
        for statement in filter(str.strip, SCHEMA.split(";")):
            made.execute(statement)
        made.execute("INSERT INTO short_link VALUES (%s, %s)", MAPPED, ITEM)
        made.execute("INSERT INTO short_link VALUES (%s, %s)", MAPPED_NOTE, "https://www.xiaohongshu.com/explore/64f0")
        made.done("init")
        yield made


def insert(job: Job, number: int, case: Case) -> None:
    kind = {"doc": "::json", "extra": "::jsonb"}.get(case.column, "")
    job.execute(f"INSERT INTO post (id, {case.column}) VALUES (%s, %s{kind})", number, case.before)


def value(job: Job, number: int, case: Case) -> object:
    ((found,),) = job.execute(f"SELECT {case.column}::text FROM post WHERE id = %s", number)
    return found


def as_stored(job: Job, case: Case, text: str | None) -> object:
    """jsonb has a spelling of its own; every other type keeps the text."""
    if case.column != "extra" or text is None:
        return text
    ((found,),) = job.execute("SELECT %s::jsonb::text", text)
    return found


def test_every_format_is_changed_in_its_place_and_restored_as_it_was(job: Job) -> None:
    cases = list(enumerate((*CHANGED, *KEPT), start=1))
    for number, case in cases:
        insert(job, number, case)
    originals = {number: value(job, number, case) for number, case in cases}
    run = job.apply(job.plan())
    assert run.number("log_rows") == len(CHANGED)
    for number, case in cases:
        assert value(job, number, case) == as_stored(job, case, case.after), case
    job.verify(run)
    undone = job.roll_back(run)
    assert {number: value(job, number, case) for number, case in cases} == originals
    job.verify(undone)
    job.roll_back(undone)
    for number, case in cases:
        assert value(job, number, case) == as_stored(job, case, case.after), case


def test_a_value_that_can_not_be_changed_is_named_at_plan_time_and_left(job: Job) -> None:
    # The shipped placeholder is shorter than any link; this one is not.
    policy = (config_directory() / POLICY).read_text(encoding="utf-8").replace(PLACEHOLDER, LONG_PLACEHOLDER)
    (job.folder / POLICY).write_text(policy, encoding="utf-8")
    insert(job, 1, TOO_LONG)
    insert(job, 2, UNREADABLE)
    insert(job, 3, CHANGED[0])
    plan = job.plan()
    assert plan.report["tables"][0]["refusals"] == {"too_long": 1, "unreadable": 1}  # type: ignore[index]
    run = job.apply(plan, status=1)
    assert run.number("log_rows") == 1
    assert run.number("refused_by_plan") == 2
    assert [value(job, 1, TOO_LONG), value(job, 2, UNREADABLE)] == [TOO_LONG.before, UNREADABLE.before]


def test_the_resolution_map_is_part_of_what_was_signed(job: Job) -> None:
    insert(job, 1, CHANGED[0])
    plan = job.plan()
    job.approve(plan)
    job.config_file.write_text(CONFIG.replace("target_url", "short_url"), encoding="utf-8")
    answer = job.run("apply", plan.number("plan_id"))
    assert answer.codes == ["CLN-106"]
    assert "resolution" in answer.err


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("short_link", "no_such"), "CLN-302"),
        (('short = "short_url"', 'short = "nr"'), "CLN-303"),
        (('table = "public.short_link"\nshort = "short_url"', 'table = "public.post"\nshort = "id"'), "CLN-303"),
        (('on_redact = "empty"', 'on_redact = "gone"'), "CLN-201"),
        (('plain = "text"', 'plain = { format = "text", on_redact = "null" }'), "CLN-201"),
        (('plain = "text"', 'plain = { format = "text", paths = ["a"] }'), "CLN-201"),
    ],
)
def test_a_wrong_map_or_result_is_refused(job: Job, change: tuple[str, str], code: str) -> None:
    job.config_file.write_text(CONFIG.replace(*change), encoding="utf-8")
    answer = job.run("plan")
    assert answer.codes == [code]
    assert "Traceback" not in answer.err


CARDS: Final = f"""
policy = "{POLICY}"
[[table]]
name = "public.card"
created_at = "created_at"
[table.columns]
title = "text"
[table.columns.item_id]
format = "url"
on_redact = "null"
link_rows = {{ when = "shop IN ('tb', 'tm')", platform = "taobao", kind = "product" }}
"""


def test_rows_of_a_card_table_are_links_by_what_they_say(job: Job) -> None:
    job.execute(
        "CREATE TABLE card (id int PRIMARY KEY, created_at timestamptz DEFAULT '2021-01-01', shop text, title text,"
        " item_id text)"
    )
    job.execute(
        "INSERT INTO card (id, shop, title, item_id) VALUES"
        " (1, 'tb', '裙子', '525'), (2, 'jd', '裙子', '526'), (3, 'tm', '裙子', NULL), (4, NULL, '裙子', %s)",
        ITEM,
    )
    before = job.execute("SELECT * FROM card ORDER BY id")
    job.config_file.write_text(CARDS, encoding="utf-8")
    plan = job.plan()
    assert [(line["kind"], line["spans"]) for line in plan.report["spans"]] == [("product", 1)]  # type: ignore[attr-defined]
    run = job.apply(plan)
    assert job.execute("SELECT id, item_id FROM card ORDER BY id") == [(1, None), (2, "526"), (3, None), (4, ITEM)]
    job.verify(run)
    job.roll_back(run)
    assert job.execute("SELECT * FROM card ORDER BY id") == before


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("shop IN ('tb', 'tm')", "shop = (SELECT 'tb')"), "CLN-307"),
        (('kind = "product"', 'kind = "poem"'), "CLN-201"),
        (('platform = "taobao", ', ""), "CLN-201"),
    ],
)
def test_a_wrong_rule_for_link_rows_is_refused(job: Job, change: tuple[str, str], code: str) -> None:
    job.execute("CREATE TABLE card (id int PRIMARY KEY, created_at timestamptz, shop text, title text, item_id text)")
    job.config_file.write_text(CARDS.replace(*change), encoding="utf-8")
    assert job.run("plan").codes == [code]


def test_null_is_refused_where_the_column_forbids_it(job: Job) -> None:
    job.execute("ALTER TABLE post ALTER source_url SET NOT NULL")
    assert job.run("plan").codes == ["CLN-304"]
