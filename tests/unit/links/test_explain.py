"""Explaining: for people without tricks in the terminal, for programs line by line."""

import json

import pytest

from cleanup.errors import InputUnreadable
from cleanup.links.explain import explain_lines, explain_text, visible
from cleanup.links.finder import Finder
from cleanup.vocabulary import ColumnFormat, Decision


def test_people_read_spans_reasons_and_the_text_after(finder: Finder) -> None:
    told = explain_text(finder, "直播间 https://m.tb.cn/h.4AbcDe7\nhttps://item.taobao.com/i", ColumnFormat.TEXT)
    assert "4-29 taobao short: review (short link beside 直播间)" in told
    assert "30-55 taobao product: redact (Taobao product page)" in told
    assert told.endswith("after:\n  直播间 https://m.tb.cn/h.4AbcDe7\n  [链接已移除]\n")


def test_children_stand_below_their_anchor(finder: Finder) -> None:
    told = explain_text(finder, '<a href="//item.taobao.com/i">x t.cn/Abc</a>', ColumnFormat.HTML)
    assert "\n      " in told
    assert "opaque opaque: keep" in told


def test_nothing_steers_the_terminal(finder: Finder) -> None:
    told = explain_text(finder, "\x1b[31m \u202e https://item.taobao.com/i \x07\u200b\r", ColumnFormat.TEXT)
    assert all(mark.isprintable() or mark == "\n" for mark in told)
    assert "\\u001b[31m \\u202e" in told
    assert visible("好\ud800\U000e0001") == "好\\ud800\\U000e0001"


def test_invalid_json_says_why(finder: Finder) -> None:
    told = explain_text(finder, '{"a": "https://m.tb.cn/h.4AbcDe7"', ColumnFormat.JSON)
    assert told.startswith("json: not valid JSON: ")


def test_lines_in_and_out(finder: Finder) -> None:
    lines = [
        '{"id": 7, "format": "text", "text": "m.tb.cn/h.4AbcDe7", "extra": 1}\n',
        "\n",
        '{"id": "b", "text": "\\ud800"}',
    ]
    first, second = explain_lines(finder, lines)
    assert json.loads(first)["spans"][0]["reason"] == "Taobao short link"
    assert json.loads(first)["id"] == 7
    assert json.loads(second) == {"id": "b", "spans": [], "after": "\ud800"}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "is not JSON"),
        ("[]", "no JSON object"),
        ('{"text": 1}', '"text"'),
        ('{"text":"","format":"pdf"}', '"format"'),
    ],
)
def test_a_bad_line_is_named(finder: Finder, line: str, what: str) -> None:
    with pytest.raises(InputUnreadable, match="line 2: ") as refused:
        list(explain_lines(finder, ['{"text": ""}', line]))
    assert what in refused.value.message


def test_a_resolution_map_decides_short_links_by_their_target(finder: Finder) -> None:
    text = "http://t.cn/A6abcDe 和 m.tb.cn/h.4AbcDe7 和 http://xhslink.com/a1B2c3 和 t.cn/none"
    assert finder.lookups(text, ColumnFormat.TEXT)[:2] == ("http://t.cn/A6abcDe", "m.tb.cn/h.4AbcDe7")
    resolution = {
        "http://t.cn/A6abcDe": "https://m.tb.cn/h.7654321",
        "https://m.tb.cn/h.7654321": "https://item.taobao.com/item.htm?id=1",
        "https://m.tb.cn/h.4AbcDe7": "https://live.taobao.com/room",
        "http://xhslink.com/a1B2c3": "https://www.xiaohongshu.com/explore/1",
    }
    spans = finder.find(text, ColumnFormat.TEXT, resolution=resolution).spans
    assert [(span.kind, span.decision) for span in spans] == [
        ("product", Decision.REDACT),
        ("live", Decision.KEEP),
        ("opaque", Decision.KEEP),
    ]
    circle = {"http://t.cn/a": "http://t.cn/b", "http://t.cn/b": "http://t.cn/a"}
    assert finder.find("http://t.cn/a", ColumnFormat.TEXT, resolution=circle).spans[0].decision is Decision.KEEP


def test_json_paths_limit_the_leaves(finder: Finder) -> None:
    document = '{"a":{"b":["m.tb.cn/h.4AbcDe7"]},"c":"m.tb.cn/h.4AbcDe7","d.e":"t.cn/Abc"}'
    for paths, count in (((), 3), (("a",), 1), (("a.b[*]",), 1), (("$.c", "a.b"), 2), (("a.c",), 0), (("*",), 3)):
        assert len(finder.find(document, ColumnFormat.JSON, json_paths=paths).spans) == count, paths


def test_counted_hosts_and_whole_urls(finder: Finder) -> None:
    found = finder.find("https://item.jd.com/1.html https://u.jd.com/a 3.cn/b jd.com", ColumnFormat.TEXT)
    assert found.spans == ()
    assert found.counted == ("jd.com", "jd.com", "3.cn")
    whole = finder.find("https://item.taobao.com/i", ColumnFormat.URL, url_replacement="").spans[0]
    assert whole.replacement == ""
