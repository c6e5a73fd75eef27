"""The demo's posts are the same everywhere and hold what the demo wants to show."""

import hashlib
from datetime import datetime
from uuid import UUID

import pytest

from cleanup.demo import phrases
from cleanup.demo.posts import COLUMNS, END, FIRST, SHANGHAI, Comment, Note, Post, generate_rows

ROWS = 20_000
CUTOVER = datetime(2021, 8, 2, tzinfo=SHANGHAI)


def made(table: str, rows: int = ROWS, seed: int = 1) -> list[Post]:
    return list(generate_rows(table, rows, seed))


def text(post: Post) -> str:
    return f"{post.title} {post.body}" if isinstance(post, Note) else post.body


@pytest.mark.parametrize(
    ("table", "digest"),
    [
        ("note", "e1094429103a89a1"),
        ("note_archive", "2c51c70eb1210777"),
        ("comment", "08d4709e379aa053"),
    ],
)
def test_same_seed_gives_the_same_posts_on_every_machine(table: str, digest: str) -> None:
    summed = hashlib.sha256("\n".join(map(repr, made(table, rows=2_000))).encode()).hexdigest()
    assert summed[:16] == digest


def test_another_seed_gives_other_posts() -> None:
    assert made("note", rows=10, seed=1) != made("note", rows=10, seed=2)


@pytest.mark.parametrize("table", COLUMNS)
def test_a_tenth_of_the_rows_has_links(table: str) -> None:
    starts = {
        "ours": (
            "taobao.com/item",
            "tmall.com/item",
            "TMALL",
            "ＴＡＯＢＡＯ",
            "tb.cn/h",
            "tb。cn",
            "goods",
            "打开",
            "mianbao",
        ),
        "others": ("jd.com", "yangkeduo", "pinduoduo", "example", "bilibili"),
    }
    posts = made(table)
    ours, others = (
        sum(any(mark in text(post) for mark in marks) for post in posts) / ROWS for marks in starts.values()
    )
    assert 0.03 < ours < 0.06
    assert 0.03 < others < 0.05


def test_every_spelling_occurs() -> None:
    everything = "\n".join(map(text, made("note", rows=60_000)))
    links = (
        phrases.OURS,
        phrases.CODES,
        phrases.OTHER_SHOPS,
        phrases.LIVE_ROOMS,
        phrases.AFFILIATED,
        phrases.UNCERTAIN,
    )
    absent = [link for group in links for link in group if link.split("{")[0] not in everything]
    assert absent == []


@pytest.mark.parametrize("table", COLUMNS)
def test_time_goes_up_to_after_the_cutover(table: str) -> None:
    instants = [post.created_at for post in made(table)]
    assert instants == sorted(instants)
    assert instants[0] >= FIRST
    assert instants[-1] < END
    assert 0.02 < sum(instant >= CUTOVER for instant in instants) / ROWS < 0.05


def test_live_stream_rows_are_few_and_full_of_links() -> None:
    live = [post for post in made("note") if isinstance(post, Note) and post.is_live]
    assert 0.005 < len(live) / ROWS < 0.02
    assert 0.15 < sum("http" in post.body for post in live) / len(live) < 0.5


def test_comments_refer_to_notes_and_have_random_keys() -> None:
    comments = [post for post in generate_rows("comment", 1_000, 1, notes=50) if isinstance(post, Comment)]
    assert {comment.note_id for comment in comments} == set(range(1, 51))
    assert len({comment.id for comment in comments}) == 1_000
    assert {UUID(str(comment.id)).version for comment in comments} == {4}


def test_titles_fit_their_column() -> None:
    titles = [post.title for post in made("note", rows=60_000) if isinstance(post, Note)]
    assert max(map(len, titles)) <= 200
    assert any("http" in title for title in titles)


def test_unknown_table_is_refused() -> None:
    with pytest.raises(KeyError):
        generate_rows("nonesuch", 1, 1)


@pytest.mark.parametrize("rows", [0, 1])
def test_small_numbers_work(rows: int) -> None:
    assert [len(made(table, rows=rows)) for table in COLUMNS] == [rows] * 3
