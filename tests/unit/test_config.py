"""Job configs: validated once, frozen, and every error of a file in one message."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from cleanup.config import AfterCutover, ExemptBy, JobConfig, Pace, Undated
from cleanup.config_file import load_config
from cleanup.errors import ConfigInvalid
from cleanup.resources import config_directory
from cleanup.vocabulary import ColumnFormat

POLICY = 'policy = "policy-xiaohongshu-2021.toml"\n'
TABLE = '[[table]]\nname = "public.post"\ncreated_at = "created_at"\ncolumns = { body = "text" }\n'


def load(folder: Path, text: str) -> JobConfig:
    """Read a config of that text."""
    (folder / "cleanup.toml").write_text(text, encoding="utf-8")
    return load_config(folder / "cleanup.toml")


def problems(folder: Path, text: str) -> list[str]:
    """What is wrong with a config, without the file's name."""
    with pytest.raises(ConfigInvalid) as error:
        load(folder, text)
    return [line.removeprefix(f"{folder / 'cleanup.toml'}: ") for line in error.value.message.split("\n")]


def test_the_least_config_takes_the_documented_values(tmp_path: Path) -> None:
    config = load(tmp_path, POLICY + TABLE)
    (table,) = config.tables
    assert config.policy == config_directory() / "policy-xiaohongshu-2021.toml"
    assert (table.name, table.key, table.created_at, table.undated) == ("public.post", (), "created_at", Undated.LEAVE)
    assert table.after_cutover is AfterCutover.LEAVE
    assert [(column.name, column.format) for column in table.columns] == [("body", ColumnFormat.TEXT)]
    assert config.pace == Pace()
    assert config.approval.expires_after_hours == 168
    with pytest.raises(FrozenInstanceError):
        config.policy = tmp_path  # type: ignore[misc]  # that is the point


def test_every_key_of_a_table_is_read(tmp_path: Path) -> None:
    table = load(
        tmp_path,
        POLICY
        + """
        [[table]]
        name = "shop.post"
        key = ["region", "id"]
        created_at = "written"
        created_at_time_zone = "Asia/Shanghai"
        author = "writer"
        exempt = "is_live"
        where = "NOT hidden"
        exempt_by = { table = "shop.live", key = "id", column = "live_id" }
        undated = "include"
        after_cutover = "include"
        [table.columns]
        body = "markdown"
        card = { format = "json", paths = ["items[*].text"] }
        link = "url"
        """,
    ).tables[0]
    assert table.key == ("region", "id")
    assert (table.author, table.exempt, table.where) == ("writer", "is_live", "NOT hidden")
    assert table.exempt_by == ExemptBy("shop.live", "id", "live_id")
    assert (table.created_at_time_zone, table.undated) == ("Asia/Shanghai", Undated.INCLUDE)
    assert table.after_cutover is AfterCutover.INCLUDE
    assert [(one.name, one.format.value, one.json_paths) for one in table.columns] == [
        ("body", "markdown", ()),
        ("card", "json", ("items[*].text",)),
        ("link", "url", ()),
    ]


def test_a_policy_beside_the_config_comes_before_the_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "policy-xiaohongshu-2021.toml"
    own.write_text("", encoding="utf-8")
    assert load(tmp_path, POLICY + TABLE).policy == own


def test_every_error_of_a_file_is_told_at_once_with_table_and_key(tmp_path: Path) -> None:
    text = """
    policy = "nowhere.toml"
    colour = "red"
    [[table]]
    name = "post"
    created_at_time_zone = "Asia/Shanghigh"
    undated = "maybe"
    after_cutover = "keep"
    sort = "id"
    exempt = ""
    exempt_by = { table = "live", key = "id" }
    [table.columns]
    body = "pdf"
    card = { format = "text", paths = ["a"] }
    [[table]]
    name = "public.post"
    created_at = "created_at"
    [pace]
    lanes = 0
    chunk_rows = "many"
    speed = 1
    [approval]
    max_drift = 5
    """
    found = problems(tmp_path, text)
    for expected in (
        "policy: names 'nowhere.toml', which is neither beside this file nor shipped with cleanup",
        "colour: unknown key",
        "table[1].name: is 'post', must be schema.table",
        "table[1].created_at: is missing",
        "table[1].created_at_time_zone: is 'Asia/Shanghigh', must be an IANA zone such as Asia/Shanghai",
        "table[1].undated: is 'maybe', must be one of leave, include",
        "table[1].after_cutover: is 'keep', must be one of leave, include",
        "table[1].sort: unknown key",
        "table[1].exempt: is '', must be a non-empty string",
        "table[1].exempt_by.column: is missing",
        "table[1].exempt_by.table: is 'live', must be schema.table",
        "table[1].columns.body: is 'pdf', must be one of text, html, markdown, json, url",
        'table[1].columns.card.paths: goes with format = "json" alone',
        "table[2].columns: is missing",
        "pace.lanes: is 0, must be from 1 to 64",
        "pace.chunk_rows: is 'many', must be a whole number",
        "pace.speed: unknown key",
        "approval.max_drift: is 5, must be a number from 0 to 1",
    ):
        assert [line for line in found if line.startswith(expected)], expected
    assert len(found) == 18


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (POLICY, "table: is missing; name at least one table of posts"),
        (TABLE, "policy: is missing; it must be a non-empty string"),
        (POLICY + TABLE * 2, "table: names 'public.post' twice"),
        (POLICY + "table = 5", "table: is 5, must be an array of tables"),
        (POLICY + TABLE.replace("text", ""), "table[1].columns.body: is '', must be one of"),
        (POLICY + TABLE.replace('"text"', "{}"), "table[1].columns.body.format: is missing"),
        (POLICY + TABLE.replace("public.post", "a.b.c"), "table[1].name: is 'a.b.c', must be schema.table"),
        (POLICY + TABLE + 'created_at_time_zone = "../../etc/passwd"', "table[1].created_at_time_zone: is '../../etc"),
        (POLICY + TABLE + "[pace]\nchunk_rows = 1_000_001", "pace.chunk_rows: is 1000001, must be from 1 to 1000000"),
        (POLICY + TABLE + "[approval]\nexpires_after_hours = 0", "approval.expires_after_hours: is 0, must be >= 1"),
        (POLICY + TABLE + 'triggers = "maybe"', "table[1].triggers: is 'maybe', must be one of fire, suppress, refuse"),
        (POLICY + TABLE + '[check]\nacknowledge = ["all"]', "check.acknowledge: names 'all'; what can be acknowledged"),
        (POLICY + TABLE + '[check]\nacknowledge = ["key"]', "check.acknowledge: names 'key'; what can be acknowledged"),
        (
            POLICY + TABLE + '[check]\nfree_disk_query = "SELECT 1"\nfree_disk_command = ["df"]',
            "check.free_disk_command: goes without free_disk_query",
        ),
    ],
)
def test_one_error_is_named(tmp_path: Path, text: str, problem: str) -> None:
    assert any(line.startswith(problem) for line in problems(tmp_path, text)), problems(tmp_path, text)


def test_result_settings_hold_what_alters_results_and_nothing_else(tmp_path: Path) -> None:
    other = TABLE.replace("public.post", "public.note")
    plain = load(tmp_path, POLICY + TABLE + other).result_settings()
    paced = POLICY + other + TABLE + "[pace]\nlanes = 7\nchunk_rows = 3\n[approval]\nmax_drift = 0.5"
    assert load(tmp_path, paced).result_settings() == plain
    changes = (
        *('exempt = "x"', 'where = "x"', 'key = ["x"]', 'author = "x"'),
        *('undated = "include"', 'after_cutover = "include"', 'triggers = "fire"'),
    )
    for change in changes:
        assert load(tmp_path, POLICY + TABLE + change + "\n" + other).result_settings() != plain


def test_lanes_of_the_command_line_change_the_pace_alone(tmp_path: Path) -> None:
    config = load(tmp_path, POLICY + TABLE)
    assert config.with_lanes(5).pace.lanes == 5
    assert config.with_lanes(5).with_lanes(config.pace.lanes) == config
