"""Hostile texts cost time in proportion to their length, whatever they repeat."""

import time
import tracemalloc

import pytest

from cleanup.links.edits import invert, splice
from cleanup.links.finder import Finder
from cleanup.vocabulary import ColumnFormat
from tests.plugins.profiles import IS_LONG

pytestmark = pytest.mark.scaled

LENGTH = 1_000_000 if IS_LONG else 40_000
# Four times the text may cost four times the time; quadratic work would cost sixteen times.
MOST_GROWTH = 9.0
LEAST_SECONDS = 0.05

TEXT, HTML, MARKDOWN, JSON = ColumnFormat.TEXT, ColumnFormat.HTML, ColumnFormat.MARKDOWN, ColumnFormat.JSON
HOSTILE = [
    *(
        (TEXT, unit)
        for unit in ("a", "a.", "。a", "://", "https://", "http://a=", "=https://", "a=https://b ", "/", "(", ")")
    ),
    *(
        (TEXT, unit)
        for unit in ("={", "={a", "https://a?={", "={}", "}", "%", "%25", "%2F%2F", "https%3A", "https://a/?u=http%3A")
    ),
    *(
        (TEXT, unit)
        for unit in ("￥", "￥Ab3dEf6hIj9", "￥Ab3dEf6hIj9￥", "啊Ab3dEf6hIj9", "/Ab3dEf6hIj9", "x.cc/Ab3dEf6hIj9/")
    ),
    *(
        (TEXT, unit)
        for unit in (
            "💰Ab3dEf6hIj9💰",
            "👨‍",
            "\ufe0f",
            "live ",
            "live.",
            "live/",
            "直播",
            "淘",
            "taobao",
            "taobao.com ",
        )
    ),
    *(
        (TEXT, unit)
        for unit in ("m.tb.cn/h.4AbcDe7", "https://m.tb.cn/h.4AbcDe7", "https://m.tb.cn/h.4AbcDe7 ", "t.cn/a ")
    ),
    *(
        (TEXT, unit)
        for unit in (
            "https://ａ",
            "https://\u200b",
            "https://a。",
            "a@",
            ":\\/\\/",
            "https:\\/\\/a",
            "taobao://",
            "x)]",
        )
    ),
    *(
        (HTML, unit)
        for unit in (
            "<",
            "<a",
            "<a ",
            "<a href=",
            '<a href="',
            "<a href='x",
            "<!",
            "<!--",
            "</",
            "</a>",
            "<b>",
            "&",
            "&#",
        )
    ),
    *(
        (HTML, unit)
        for unit in ("<a href=//tb.cn/a>", "<a href=//t.cn/a>x</a>", "<script>", "&amp;", "<b><a href=x>", "</b><i>")
    ),
    *((HTML, unit) for unit in ("<!-- x", "<? ", '<a x="', "直<b>播</b>", "<p><a href=//item.taobao.com/i>t.cn/a ")),
    *(
        (MARKDOWN, unit)
        for unit in (
            "[",
            "]",
            "![",
            "](",
            "[a](",
            "[a](x ",
            '[a](x "',
            "[a](x '",
            "[a](x (",
            "[a](<",
            "`",
            "`a``",
            "```\n",
        )
    ),
    *(
        (MARKDOWN, unit)
        for unit in (
            "[a](//tb.cn/a)",
            "[[a](x)",
            "\\[",
            "(((",
            "[a](((",
            "<a",
            "[a](https://item.taobao.com/i",
            "~~~\n",
        )
    ),
    *(
        (TEXT, unit)
        for unit in (
            "m.tb.cn/h.4AbcDe7? ",
            "m.tb.cn/h.4AbcDe7?a=1#",
            "https：/",
            "taobao.com/[链接已移除]",
            "x.cc/$Ab3dEf6hIj9$/Ab3dEf6hIj9/a.b",
        )
    ),
    *(
        (MARKDOWN, unit)
        for unit in (
            "[**",
            "[`*`*](//tb.cn/a)",
            "[m.tb.cn](//tb.cn/a)",
            "//tb.cn/a[a](//tb.cn/a)",
            '[a](//jd.com/ "//tb.cn/a")',
        )
    ),
    *((JSON, unit) for unit in ("[", '{"a":', "[[],", '"', '["a",', '{"a":[', "\\u", " ", "1", "-", '"\\')),
]


def seconds(finder: Finder, text: str, column_format: ColumnFormat) -> float:
    best = float("inf")
    for _ in range(2):
        start = time.process_time()
        found = finder.find(text, column_format)
        change = splice(text, found.spans)
        assert invert(change.after, change.edits) == text
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize(("column_format", "unit"), HOSTILE)
def test_time_grows_with_the_length(finder: Finder, column_format: ColumnFormat, unit: str) -> None:
    tail = "!" if IS_LONG else ""
    short = unit * (LENGTH // 4 // len(unit)) + tail
    small = seconds(finder, short, column_format)
    large = seconds(finder, unit * (LENGTH // len(unit)) + tail, column_format)
    assert large < LEAST_SECONDS or large / max(small, 0.001) < MOST_GROWTH, f"{small:.3f} s, then {large:.3f} s"


def test_a_json_document_of_many_escapes(finder: Finder) -> None:
    for unit in ("\\u0041", "\\ud83d", "\\n", "\\/", "直播\\n"):
        document = '{"a":"' + unit * (LENGTH // len(unit)) + '"}'
        assert seconds(finder, document, JSON) < 5


@pytest.mark.parametrize("column_format", [TEXT, HTML, MARKDOWN, JSON])
def test_a_text_of_10_mb_stays_small_in_memory(finder: Finder, column_format: ColumnFormat) -> None:
    length = 10_000_000 if IS_LONG else 2_000_000
    body = "雨停了，屋檐还在滴水。" * (length // 11)
    value = {HTML: f"<p>{body}</p>", JSON: f'["{body}"]'}.get(column_format, body)
    tracemalloc.start()
    try:
        assert finder.find(value, column_format).spans == ()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * length
