"""Policy files: what is refused, with file and key; what the digest covers; a second policy."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cleanup.errors import PolicyInvalid
from cleanup.links.edits import splice
from cleanup.links.finder import Finder
from cleanup.links.policy import Policy, load_policy
from cleanup.vocabulary import ColumnFormat, Decision
from tests.unit.links.conftest import OTHER_POLICY, POLICY

MINIMAL = """
name = "small"
version = "1"
cutover = 2024-01-01T00:00:00Z
placeholder = "[gone]"

[sources.note]
text = "a note"
confirmed = true

[platforms.old]
title = "Old shop"
source = "note"

[platforms.old.kinds.item]
decision = "rewrite"
template = "https://new.example/i/{item_id}"
hosts = ["old.example/item/"]

[platforms.old.kinds.app]
decision = "redact"
schemes = ["oldshop://"]
"""


def load(directory: Path, text: str) -> Policy:
    file = directory / "policy.toml"
    file.write_text(text, encoding="utf-8")
    return load_policy(file)


def problems(directory: Path, text: str) -> str:
    with pytest.raises(PolicyInvalid) as refused:
        load(directory, text)
    assert all("policy.toml: " in line for line in refused.value.message.split("\n"))
    return refused.value.message


@pytest.mark.parametrize(
    ("old", "new", "place", "what"),
    [
        ('"small"', '""', "name", "non-empty"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00", "cutover", "offset"),
        ('"[gone]"', '""', "placeholder", "non-empty"),
        ('"[gone]"', '"gone"', "placeholder", "does not end a URL"),
        ('"[gone]"', '"[oldshop://x]"', "placeholder", "holds a link in scope"),
        ("{item_id}", "{price}", "platforms.old.kinds.item.template", "unknown field {price}"),
        ("{item_id}", "{item_id", "platforms.old.kinds.item.template", "brace"),
        ("new.example/i/", "old.example/item/", "platforms.old.kinds.item.template", "holds a link in scope"),
        ("https://new.example/i/{item_id}", "{url}", "platforms.old.kinds.item.template", "holds a link in scope"),
        ('template = "https://new.example/i/{item_id}"', "", "platforms.old.kinds.item.template", "is missing"),
        ('decision = "redact"', 'decision = "redact"\ntemplate = "x"', "platforms.old.kinds.app.template", "no use"),
        ('decision = "redact"', 'decision = "burn"', "platforms.old.kinds.app.decision", "must be one of"),
        ("old.example/item/", "old_example", "platforms.old.kinds.item.hosts", "no host"),
        ("old.example/item/", "https://old.example", "platforms.old.kinds.item.hosts", "no host"),
        ("old.example/item/", "Old.example", "platforms.old.kinds.item.hosts", "no host"),
        ("old.example/item/", "old..example", "platforms.old.kinds.item.hosts", "no host"),
        ('"oldshop://"', '"oldshop:"', "platforms.old.kinds.app.schemes", "no app scheme"),
        ('"oldshop://"', '"https://"', "platforms.old.kinds.app.schemes", "no app scheme"),
        ('"oldshop://"', '"oldshop://", "OldShop://"', "platforms.old.kinds.app.schemes", "one link has one rule"),
        ('["oldshop://"]', '["a://"]\nhosts = ["old.example/item/"]', "platforms.old.kinds.app.hosts", "stands under"),
        ('source = "note"', 'source = "rumour"', "platforms.old.source", "'rumour'"),
        ("confirmed = true", 'confirmed = "yes"', "sources.note.confirmed", "true or false"),
        ('title = "Old shop"', 'title = "Old shop"\ncolour = 1', "platforms.old.colour", "unknown key"),
        ('version = "1"', 'version = "1"\nextra = 1', "extra", "unknown key"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(tmp_path: Path, old: str, new: str, place: str, what: str) -> None:
    assert old in MINIMAL
    message = problems(tmp_path, MINIMAL.replace(old, new))
    assert f"policy.toml: {place}: " in message
    assert what in message


@pytest.mark.parametrize(
    ("extra", "place", "what"),
    [
        ("[share_codes.elsewhere]\n", "share_codes.elsewhere", "unknown platform"),
        ('[[readings]]\ntext = "x"\nkey = "platforms.old.kinds.none"\n', "readings[1].key", "does not have"),
        ('[[short_tokens]]\nhosts = ["x"]\npath = "/h."\nlengths = [0]\n', "short_tokens[1].lengths", "whole numbers"),
        ('[live_cues]\nspellings = [""]\n', "live_cues.spellings", "empty cue"),
        ('[live_cues]\nwords = ["on air"]\n', "live_cues.words", "letters and digits"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(tmp_path: Path, extra: str, place: str, what: str) -> None:
    message = problems(tmp_path, MINIMAL + extra)
    assert f"policy.toml: {place}: " in message
    assert what in message


def test_all_problems_are_listed_together(tmp_path: Path) -> None:
    broken = MINIMAL.replace('"small"', "1").replace("{item_id}", "{price}").replace("old.example/item/", "nohost")
    assert len(problems(tmp_path, broken).split("\n")) == 3


def test_a_placeholder_that_holds_a_cue_is_refused(tmp_path: Path) -> None:
    text = POLICY.read_text(encoding="utf-8").replace(
        'placeholder = "[链接已移除]"', 'placeholder = "[淘宝链接已移除]"'
    )
    assert "holds the cue '淘宝'" in problems(tmp_path, text)


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyInvalid, match="cannot be read"):
        load_policy(tmp_path / "none.toml")
    with pytest.raises(PolicyInvalid, match="is not TOML"):
        load(tmp_path, "name = ")


def test_the_digest_covers_results_and_not_layout(tmp_path: Path) -> None:
    digest = load(tmp_path, MINIMAL).digest
    same = MINIMAL.replace("[sources.note]", "# a comment\n[sources.note]").replace('"1"', '"2"').replace("a note", "b")
    assert load(tmp_path, same).digest == digest
    for old, new in [
        ("[gone]", "[left]"),
        ("2024-01-01", "2024-01-02"),
        ("new.example", "nu.example"),
        ("oldshop", "os"),
    ]:
        assert load(tmp_path, MINIMAL.replace(old, new)).digest != digest
    assert len(digest) == 32


def test_the_policy_of_2021_names_its_choices(policy: Policy) -> None:
    assert policy.cutover == datetime(2021, 8, 1, 16, tzinfo=UTC)
    assert policy.placeholder == "[链接已移除]"
    assert len(policy.readings) == 8
    assert all(rule.source.text and not rule.source.confirmed for rule in policy.rules)
    assert {rule.decision for rule in policy.rules if rule.kind == "affiliated"} == {Decision.KEEP}


def test_a_reading_is_switched_by_its_key(tmp_path: Path) -> None:
    text = POLICY.read_text(encoding="utf-8")
    before = '[platforms.taobao.kinds.page]\nlabel = "search, campaign or home page"\ndecision = "redact"'
    assert before in text
    switched = Finder(load(tmp_path, text.replace(before, before.replace('"redact"', '"keep"'))))
    spans = switched.find("https://s.taobao.com/search?q=a https://item.taobao.com/i", ColumnFormat.TEXT).spans
    assert [span.decision for span in spans] == [Decision.KEEP, Decision.REDACT]


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("见 https://shop.northwind-old.example/item/12345.html。", "见 https://bazaar.northwind.example/item/12345。"),
        ("m.northwind-old.example/i98765?x=1 好", "https://bazaar.northwind.example/item/98765 好"),
        (
            "https://northwind-old.example/detail?ref=2&item_id=777777&id=1",
            "https://bazaar.northwind.example/item/777777",
        ),
        ("alice.northwind-old.example 搬了", "https://bazaar.northwind.example/ 搬了"),
        ("点 northwind://home 或 nwbazaar://item/3", "点 【link retired】 或 【link retired】"),
        ("券 #AB12CD34# 还能用", "券 【link retired】 还能用"),
        (
            "https://item.taobao.com/item.htm?id=1 ￥Ab3dEf6hIj9￥",
            "https://item.taobao.com/item.htm?id=1 ￥Ab3dEf6hIj9￥",
        ),
        ("https://orders.northwind-old.example/1 https://nwd.example/a", None),
        ("https://shop.northwind-old.example/item/", None),
        ("https://shop.northwind-old.example.evil.example/item/1", None),
    ],
)
def test_a_second_policy_works_without_new_code(other_policy: Policy, text: str, after: str | None) -> None:
    spans = Finder(other_policy).find(text, ColumnFormat.TEXT).spans
    assert splice(text, spans).after == (text if after is None else after)


def test_a_link_that_lacks_a_field_is_for_a_person(other_policy: Policy) -> None:
    (span,) = Finder(other_policy).find("https://shop.northwind-old.example/item/", ColumnFormat.TEXT).spans
    assert span.decision is Decision.REVIEW
    assert span.reason == "the link lacks a field that the template needs"


def test_both_policies_stand_in_config() -> None:
    assert load_policy(OTHER_POLICY).name == "old-shop-move"
    assert load_policy(POLICY).name == "xiaohongshu-2021"
