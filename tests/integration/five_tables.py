"""Five tables, one for each kind of key, whose posts hold every format; and what must become of each row.

The expectation is made from the configured rules and the pure finder alone: no SQL of the product has a part in it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import cache
from itertools import pairwise
from random import Random
from typing import Final, TypeAlias

from cleanup.demo.posts import Comment, Note, generate_rows
from cleanup.links.edits import splice
from cleanup.links.finder import Finder
from cleanup.vocabulary import ColumnFormat
from tests.integration.jobs import POLICY, Connection, load

ROWS: Final = 20_000
SHANGHAI: Final = timezone(timedelta(hours=8))
CUTOVER: Final = datetime(2021, 8, 2, tzinfo=SHANGHAI)
MONTHS: Final = [date(2020, 7, 1), *(date(2020 + month // 12, month % 12 + 1, 1) for month in range(7, 21))]

# Orders by bytes and by language differ on these: case, accents, blanks and signs, and Chinese.
WORDS: Final = (
    *("apple", "Banana", "éclair", "Zebra", "zebra", "a-b", "a_b", "ab", "Äpfel", "上海", "北京"),
    *("'s", "50%", 'a"b', "c\\d", "{e}"),
)

SCHEMA: Final = """
CREATE TABLE note (
    id bigint PRIMARY KEY, author_id bigint NOT NULL, created_at timestamptz, is_live boolean,
    title varchar(200) NOT NULL, body text, card json, extra jsonb
);
CREATE TABLE live_session (note_id bigint PRIMARY KEY);
CREATE TABLE comment (id uuid PRIMARY KEY, note_id bigint, created_at timestamptz NOT NULL, body text NOT NULL);
CREATE TABLE "Article" (
    slug text COLLATE linguistic PRIMARY KEY, written timestamp, kind text, page text, "shop link" varchar(500)
);
CREATE TABLE reply (
    shard int, code text, day date NOT NULL, hidden boolean, body text NOT NULL, note text,
    PRIMARY KEY (shard, code)
);
CREATE TABLE archive (
    id bigint, created_at timestamptz, body text NOT NULL, doc json, PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
"""

TABLES: Final = f"""
policy = "{POLICY}"

[[table]]
name = "public.note"
created_at = "created_at"
author = "author_id"
exempt = "is_live"
columns = {{ title = "text", body = "text", card = "json", extra = "json" }}

[[table]]
name = "public.comment"
created_at = "created_at"
columns = {{ body = "text" }}
exempt_by = {{ table = "public.live_session", key = "note_id", column = "note_id" }}

[[table]]
name = "public.Article"
created_at = "written"
created_at_time_zone = "Asia/Shanghai"
undated = "include"
exempt = "kind IN ('live', 'vod')"
columns = {{ page = "html", "shop link" = "url" }}

[[table]]
name = "public.reply"
created_at = "day"
created_at_time_zone = "Asia/Shanghai"
where = "NOT hidden AND code NOT LIKE '%zebra%'"
columns = {{ body = "markdown", note = "text" }}

[[table]]
name = "public.archive"
created_at = "created_at"
columns = {{ body = "text", doc = {{ format = "json", paths = ["items[*].text"] }} }}
"""

Texts: TypeAlias = "tuple[str | None, ...]"
Key: TypeAlias = "tuple[str, ...]"
Dump: TypeAlias = "dict[str, dict[Key, Texts]]"


@dataclass(frozen=True, slots=True)
class Column:
    """A text column and how it is to be read."""

    name: str
    format: ColumnFormat
    json_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """How a table is read here: expressions for when a row was written and whether it is kept, its key, its texts."""

    name: str
    created_at: str
    is_kept: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    undated_are_historical: bool = False

    @property
    def identifier(self) -> str:
        """The name in quotes."""
        return f'"{self.name}"'


FIVE: Final = (
    Table(
        "note",
        "created_at::text",
        "is_live",
        ("id",),
        (
            Column("title", ColumnFormat.TEXT),
            Column("body", ColumnFormat.TEXT),
            Column("card", ColumnFormat.JSON),
            Column("extra", ColumnFormat.JSON),
        ),
    ),
    Table("comment", "created_at::text", "note_id % 50 = 0", ("id",), (Column("body", ColumnFormat.TEXT),)),
    Table(
        "Article",
        "written::text || '+08'",
        "kind IN ('live', 'vod')",
        ("slug",),
        (Column("page", ColumnFormat.HTML), Column("shop link", ColumnFormat.URL)),
        undated_are_historical=True,
    ),
    Table(
        "reply",
        "day::text || ' 00:00+08'",
        "coalesce(hidden, true) OR strpos(code, 'zebra') > 0",
        ("shard", "code"),
        (Column("body", ColumnFormat.MARKDOWN), Column("note", ColumnFormat.TEXT)),
    ),
    Table(
        "archive",
        "created_at::text",
        "false",
        ("id", "created_at"),
        (Column("body", ColumnFormat.TEXT), Column("doc", ColumnFormat.JSON, ("items[*].text",))),
    ),
)


def create(connection: Connection, collation: str, rows: int = ROWS) -> None:
    """Make and fill the tables; `collation` is the statement that makes the collation `linguistic`."""
    connection.execute(collation.encode())
    connection.execute(SCHEMA.encode())
    for first, end in pairwise(MONTHS):
        connection.execute(
            f"CREATE TABLE archive_{first:%Y_%m} PARTITION OF archive"
            f" FOR VALUES FROM ('{first} 00:00+08') TO ('{end} 00:00+08')".encode()
        )
    names = ("id", "author_id", "created_at", "is_live", "title", "body", "card", "extra")
    load(connection, "note", names, _notes(rows))
    load(connection, "live_session", ("note_id",), ((note,) for note in range(0, rows, 50)))
    load(connection, "comment", ("id", "note_id", "created_at", "body"), _comments(rows))
    load(connection, "Article", ("slug", "written", "kind", "page", "shop link"), _articles(rows))
    load(connection, "reply", ("shard", "code", "day", "hidden", "body", "note"), _replies(rows))
    load(connection, "archive", ("id", "created_at", "body", "doc"), _archived(rows))


def dump(connection: Connection) -> Dump:
    """Every row's texts by table and key."""
    return {table.name: dict(_rows(connection, table, ())) for table in FIVE}


def _rows(connection: Connection, table: Table, more: tuple[str, ...]) -> Iterator[tuple[Key, tuple[str | None, ...]]]:
    wanted = [f'"{name}"::text' for name in (*table.key, *(column.name for column in table.columns))]
    query = f"SELECT {', '.join([*wanted, *more])} FROM {table.identifier}"
    width = len(table.key)
    for row in connection.execute(query.encode()).fetchall():
        yield tuple(map(str, row[:width])), tuple(None if part is None else str(part) for part in row[width:])


def expected_after(connection: Connection, finder: Finder) -> Dump:
    """What must stand in every row after the run, decided row by row by the pure finder."""
    return {
        table.name: {
            key: _expected(table, rest, finder)
            for key, rest in _rows(connection, table, (table.created_at, table.is_kept))
        }
        for table in FIVE
    }


def _expected(table: Table, row: Texts, finder: Finder) -> Texts:
    *texts, created_at, is_kept = row
    is_historical = table.undated_are_historical if created_at is None else _is_before_cutover(created_at)
    if is_kept == "True" or not is_historical:
        return tuple(texts)
    return tuple(
        None if text is None else _redacted(finder, text, column)
        for text, column in zip(texts, table.columns, strict=True)
    )


@cache
def _redacted(finder: Finder, text: str, column: Column) -> str:
    return splice(text, finder.find(text, column.format, json_paths=column.json_paths).spans).after


def _is_before_cutover(created_at: str) -> bool:
    if created_at.endswith("infinity"):
        return created_at == "-infinity"
    return datetime.fromisoformat(created_at) < CUTOVER


@cache
def _posts(rows: int) -> list[tuple[Note, Comment]]:
    notes, comments = generate_rows("note", rows, 1), generate_rows("comment", rows, 1)
    return [
        (note, comment)
        for note, comment in zip(notes, comments, strict=True)
        if isinstance(note, Note) and isinstance(comment, Comment)
    ]


def _notes(rows: int) -> Iterator[tuple[object, ...]]:
    lot = Random(1)
    for number, (note, comment) in enumerate(_posts(rows)):
        created_at: object = None if number % 101 == 0 else note.created_at
        if number % 997 == 5:
            created_at = lot.choice(("infinity", "-infinity"))
        is_live = None if number % 89 == 0 else note.is_live
        # Some writers escape their slashes and every character beyond ASCII, some nothing.
        card = json.dumps({"文": comment.body, "n": [number, 1.50]}, ensure_ascii=number % 2 == 0)
        card = card.replace("/", "\\/") if number % 3 == 0 else card
        extra = json.dumps({"b": {"text": note.title}, "a": [comment.body]})
        body = None if number % 103 == 0 else note.body
        yield (
            -number, note.author_id, created_at, is_live, note.title, body,
            card if number % 8 == 1 else None, extra if number % 10 == 0 else None,
        )  # fmt: skip


def _comments(rows: int) -> Iterator[tuple[object, ...]]:
    lot = Random(2)
    for _, comment in _posts(rows):
        note_id = None if lot.random() < 0.05 else lot.randrange(rows)
        yield comment.id, note_id, comment.created_at, comment.body


def _articles(rows: int) -> Iterator[tuple[object, ...]]:
    lot = Random(3)
    for number, (note, comment) in enumerate(_posts(rows)):
        slug = f"{WORDS[number % len(WORDS)]}{lot.choice(' -_')}{number:05}"
        written = None if number % 97 == 0 else comment.created_at.replace(tzinfo=None)
        kind = (None, "note", "live", "vod")[number % 4] if number % 7 == 0 else "note"
        page = f"<p>{note.title} &amp; {comment.body}</p>"
        if number % 11 == 0:
            page += f'<a class="x" href="https://item.taobao.com/item.htm?id={number}&amp;ns=1">看<b>这里</b></a>'
        shop_link = None
        if number % 6 == 0:
            shop_link = lot.choice(("https://shop{}.taobao.com/", "https://shop.example.com/{}")).format(number)
        yield slug, written, kind, page, shop_link


def _replies(rows: int) -> Iterator[tuple[object, ...]]:
    lot = Random(4)
    for number, (note, comment) in enumerate(_posts(rows)):
        code = f"{WORDS[lot.randrange(len(WORDS))]}-{number:x}"
        hidden = None if number % 83 == 0 else number % 13 == 0
        body = comment.body
        if number % 9 == 0:
            body += (
                f"\n\n看 [这家店](https://detail.tmall.com/item.htm?id={number}) 或 <https://m.tb.cn/h.4a{number:05}>"
            )
        yield number % 7 - 3, code, comment.created_at.date(), hidden, body, note.title if number % 2 else None


def _archived(rows: int) -> Iterator[tuple[object, ...]]:
    for number, (_, comment) in enumerate(_posts(rows)):
        body = comment.body
        doc = json.dumps({"items": [{"text": body}, {"text": "无", "link": body}], "raw": body})
        yield number, comment.created_at, body, doc if number % 12 == 0 else None
