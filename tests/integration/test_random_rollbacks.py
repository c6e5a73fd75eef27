"""Random posts, authors and partial rollbacks, and then a whole one: nothing of anybody is lost.

In the end every value that no author touched is what it was, every other value holds what its author wrote,
and every link is back or listed as a conflict.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from cleanup.config_file import load_config
from cleanup.db.keys import read_key
from cleanup.db.selection import Selection
from cleanup.engine import applying, planning, rolling_back, run_job
from cleanup.engine.job import Job as EngineJob
from cleanup.links.logged_edits import decode_edits
from cleanup.links.policy import load_policy
from cleanup.links.words import Words
from tests.faults.stepping import one_lane_here, quiet
from tests.integration.jobs import POLICY, Job
from tests.integration.random_edits import ANY_LINK, MARK, Writer

COLUMNS: Final = ("body", "page", "note", "card")
SCHEMA = """
CREATE TABLE post (id bigint PRIMARY KEY, author text, created_at timestamptz NOT NULL,
                   body text, page text, note text, card jsonb);
"""
CONFIG = f"""
policy = "{POLICY}"
[[table]]
name = "public.post"
author = "author"
created_at = "created_at"
columns = {{ body = "text", page = "html", note = "markdown", card = "json" }}
[pace]
lanes = 1
chunk_rows = 7
[approval]
max_drift = 1.0
"""
ROUNDS = 200
QUICK_ROUNDS = 12
POSTS = 12

Place: TypeAlias = "tuple[int, str]"


@dataclass(slots=True)
class Round:
    """One round's posts: as they were, and as their authors last wrote them."""

    original: dict[Place, str]
    edited: dict[Place, str | None] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class World:
    """A database and the job on it."""

    job: Job
    engine: EngineJob

    def values(self) -> dict[Place, str | None]:
        """Every value of every post, as its text."""
        rows = self.job.execute("SELECT id, body, page, note, card::text FROM post ORDER BY id")
        return {
            (int(str(number)), name): None if text is None else str(text)
            for number, *texts in rows
            for name, text in zip(COLUMNS, texts, strict=True)
        }


@pytest.fixture
def world(database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """An empty table, a ledger, and lanes that are functions."""
    for module in (planning, run_job):
        monkeypatch.setattr(module, "run_lanes", one_lane_here)
    job = Job(database_dsn, tmp_path, CONFIG)
    job.execute(SCHEMA)
    job.done("init")
    config = load_config(job.config_file)
    policy = load_policy(config.policy)
    return World(job, EngineJob(database_dsn, config, policy, tmp_path / "patterns"))


def test_nothing_is_lost_in_a_few_rounds(world: World) -> None:
    for seed in range(QUICK_ROUNDS):
        play(world, Writer(seed))


@pytest.mark.long
def test_nothing_is_lost_in_many_rounds(world: World) -> None:
    for seed in range(1_000, 1_000 + ROUNDS):
        play(world, Writer(seed))


def play(world: World, writer: Writer) -> None:
    """One round of posts, from plan to the whole rollback."""
    posts = new_posts(world, writer)
    plan = planning.make_plan(world.engine, None, quiet)
    assert plan.digest is not None
    world.job.done("approve", plan.plan_id, "--digest", plan.digest.hex(), "--by", "Ana", "--ticket", "CHG-1")
    authors_write(world, writer, posts, share=0.1)
    run = applying.apply_plan(world.engine, plan.plan_id, quiet).run_id
    rollbacks: list[int] = []
    for _ in range(writer.random.randrange(1, 4)):
        authors_write(world, writer, posts, share=0.15)
        rollbacks.append(roll_back(world, run, some_part(writer)))
        if writer.random.random() < 0.3:
            rollbacks.append(roll_back(world, rollbacks[-1], Selection()))
    authors_write(world, writer, posts, share=0.2)
    whole = roll_back(world, run, Selection())
    require_nothing_lost(world, posts)
    require_every_link(world, posts, run, rollbacks, whole)
    world.job.execute("TRUNCATE post")


def new_posts(world: World, writer: Writer) -> Round:
    for number in range(POSTS):
        world.job.execute(
            "INSERT INTO post VALUES (%s, %s, %s, %s, %s, %s, %s)",
            number,
            f"a{number % 3}",
            f"2021-0{1 + number % 6}-01T00:00:00Z",
            writer.text(),
            writer.html(),
            writer.text(),
            writer.card(),
        )
    return Round({place: text for place, text in world.values().items() if text is not None})


def authors_write(world: World, writer: Writer, posts: Round, share: float) -> None:
    for (number, name), text in world.values().items():
        if text is None or number in posts.deleted or writer.random.random() > share:
            continue
        if writer.random.random() < 0.05:
            world.job.execute("DELETE FROM post WHERE id = %s", number)
            posts.deleted.add(number)
            continue
        edited = writer.edit_card(text) if name == "card" else writer.edit(text)
        world.job.execute(f"UPDATE post SET {name} = %s WHERE id = %s", edited, number)
        posts.edited[number, name] = world.values()[number, name]


def some_part(writer: Writer) -> Selection:
    random = writer.random
    match random.randrange(4):
        case 0:
            return Selection(platforms=(random.choice(("taobao", "tmall")),))
        case 1:
            return Selection(authors=(f"a{random.randrange(3)}",), platforms=("tmall",))
        case 2:
            return Selection(tables=("public.post",), keys=tuple((str(random.randrange(POSTS)),) for _ in range(3)))
        case _:
            return Selection(kinds=("product",), decisions=("redact",))


def roll_back(world: World, run: int, selection: Selection) -> int:
    return rolling_back.roll_back(world.engine, run, selection, quiet).run_id


def require_nothing_lost(world: World, posts: Round) -> None:
    for place, text in world.values().items():
        if place not in posts.edited:
            assert text == posts.original[place], place
            continue
        written = posts.edited[place]
        assert text is not None
        assert written is not None
        # But for links that went back, the text is the author's, to the character.
        assert without_links(text) == without_links(written), place


def without_links(text: str) -> str:
    return re.sub(ANY_LINK, MARK, text)


def require_every_link(world: World, posts: Round, run: int, rollbacks: list[int], whole: int) -> None:
    present = world.values()
    listed = set(world.job.execute("SELECT finding_number, link_number FROM cleanup.conflict WHERE run_id = %s", whole))
    given_back = set(links_of_rollbacks(world, rollbacks))
    for finding, name, key, edits in world.job.execute(
        "SELECT g.finding_number, c.column_name, g.key, g.edits FROM cleanup.change_log AS g"
        " JOIN cleanup.plan_column AS c ON c.column_number = g.column_number"
        " AND c.plan_id = (SELECT plan_id FROM cleanup.run WHERE run_id = %s) WHERE g.run_id = %s",
        run,
        run,
    ):
        number = int(read_key(str(key))[0])
        for edit in decode_edits(str(edits), words_of(world)):
            if number in posts.deleted or (finding, edit.number) in listed:
                continue
            # Or an author took it out again after it was back.
            assert edit.removed in (present[number, str(name)] or "") or (finding, edit.number) in given_back


def words_of(world: World) -> Words:
    (words,) = {
        tuple(words) for (words,) in world.job.execute("SELECT words FROM cleanup.plan") if isinstance(words, list)
    }
    return Words(words)


def links_of_rollbacks(world: World, rollbacks: list[int]) -> Iterator[tuple[object, int]]:
    for finding, edits in world.job.execute(
        "SELECT finding_number, edits FROM cleanup.change_log WHERE run_id = ANY (%s)", rollbacks
    ):
        for edit in decode_edits(str(edits), words_of(world)):
            yield finding, edit.number
