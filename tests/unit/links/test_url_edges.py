"""Where a URL begins and ends: tokens of known length, broken schemes, what may stand before a host."""

import pytest

from cleanup.links.finder import Finder
from tests.unit.links.stable import cleaned, written

MARK = "[链接已移除]"


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("晒单 https://m.tb.cn/h.7Kq2WbX?sm=0f9e8d#春日穿搭#", ["https://m.tb.cn/h.7Kq2WbX?sm=0f9e8d"]),
        ("m.tb.cn/h.7Kq2WbX?sm=0f9e8d#HU0077 快看", ["m.tb.cn/h.7Kq2WbX?sm=0f9e8d"]),
        (
            "https://e.tb.cn/h.Ru7cLm20Qe9TzXa?tk=Wd83KfPs1Nb#MF0012",
            ["https://e.tb.cn/h.Ru7cLm20Qe9TzXa?tk=Wd83KfPs1Nb"],
        ),
        (r"https:\/\/m.tb.cn\/h.7Kq2WbX?sm=0f\/9e#春", [r"https:\/\/m.tb.cn\/h.7Kq2WbX?sm=0f\/9e"]),
        ("https://m.tb.cn/h.7Kq2WbX?sm=0f!#春", ["https://m.tb.cn/h.7Kq2WbX?sm=0f"]),
        ('https://m.tb.cn/h.7Kq2WbX?x={"c":"#fff"}&y=1#春', ['https://m.tb.cn/h.7Kq2WbX?x={"c":"#fff"}&y=1']),
        ("m.tb.cn/h.7Kq2WbX?a=1#item.taobao.com/item.htm?id=31", ["m.tb.cn/h.7Kq2WbX?a=1"]),
        (
            "https://m.tb.cn/h.7Kq2WbX?a=1#u=https://item.taobao.com/item.htm?id=31",
            ["https://m.tb.cn/h.7Kq2WbX?a=1", "https://item.taobao.com/item.htm?id=31"],
        ),
        ("https://m.tb.cn/h.7Kq?sm=0f#a 短的", ["https://m.tb.cn/h.7Kq?sm=0f#a"]),
        ("https://m.tb.cn/other?sm=0f#a 别的", ["https://m.tb.cn/other?sm=0f#a"]),
    ],
)
def test_only_a_query_follows_a_token_of_known_length(finder: Finder, text: str, links: list[str]) -> None:
    assert written(finder, text) == links


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("https：//detail.tmall.com/item.htm?id=44", ["detail.tmall.com/item.htm?id=44"]),
        ("去https：/item.taobao.com/item.htm?id=44看", ["item.taobao.com/item.htm?id=44"]),
        ("https:/item.taobao.com/item.htm?id=44", ["item.taobao.com/item.htm?id=44"]),
        ("hxxp://m.tb.cn/h.7Kq2WbX、ttp：//m.tb.cn/h.7Kq2WbX", ["m.tb.cn/h.7Kq2WbX", "m.tb.cn/h.7Kq2WbX"]),
        ("链接：//item.taobao.com/item.htm?id=44", ["//item.taobao.com/item.htm?id=44"]),
        ("xhttps：//item.taobao.com/item.htm?id=44", ["//item.taobao.com/item.htm?id=44"]),
        ("https://blog.example/a_https：/item.taobao.com/item.htm?id=44", []),
        ("https://m.tb.cn/h.7Kq2WbXhttps：/item.taobao.com/i", ["https://m.tb.cn/h.7Kq2WbX", "item.taobao.com/i"]),
        ("目录：/item.taobao.com/item.htm?id=44", []),
        ("/item.taobao.com/item.htm?id=44 和 a:/item.taobao.com/item.htm?id=44", []),
    ],
)
def test_behind_a_broken_scheme_a_url_begins_at_its_host(finder: Finder, text: str, links: list[str]) -> None:
    assert written(finder, text) == links


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("taobao.com/https://m.tb.cn/h.7Kq2WbX", f"taobao.com/{MARK}"),
        ("m.tb.cn/https://item.taobao.com/item.htm?id=9", f"m.tb.cn/{MARK}"),
        ("https://m.tb.cn/taobao://item?id=9", f"https://m.tb.cn/{MARK}"),
        (f"https://item.taobao.com/item.htm?id=9{MARK}", MARK + MARK),
        ("https://item.taobao.com/item.htm?id=9[链接", f"{MARK}链接"),
    ],
)
def test_a_placeholder_ends_a_url_before_it(finder: Finder, text: str, after: str) -> None:
    assert cleaned(finder, text) == after


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("：-m.tb.cn/h.7Kq2WbX", []),
        ("_item.taobao.com/item.htm?id=3_", []),
        ("https://m.tb.cn/h.7Kq2WbX_item.taobao.com/item.htm", ["https://m.tb.cn/h.7Kq2WbX"]),
        ("- m.tb.cn/h.7Kq2WbX", ["m.tb.cn/h.7Kq2WbX"]),
        ("—m.tb.cn/h.7Kq2WbX", ["m.tb.cn/h.7Kq2WbX"]),
        ("my-shop_1.taobao.com/a", ["my-shop_1.taobao.com/a"]),
        ("//_x.taobao.com/a https://-x.taobao.com/a", ["//_x.taobao.com/a", "https://-x.taobao.com/a"]),
        ("_https://m.tb.cn/h.7Kq2WbX_", ["https://m.tb.cn/h.7Kq2WbX"]),
    ],
)
def test_a_url_without_scheme_begins_with_a_letter_or_digit(finder: Finder, text: str, links: list[str]) -> None:
    assert written(finder, text) == links
