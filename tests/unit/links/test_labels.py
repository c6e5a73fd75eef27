"""Labels of anchors and Markdown links: which of them are one link or code alone, and what stays of the others."""

import time

import pytest

from cleanup.links.finder import Finder
from cleanup.vocabulary import ColumnFormat
from tests.unit.links.stable import cleaned

MARK = "[链接已移除]"
LINK = "https://m.tb.cn/h.5TgYh8U"
CODE = "￥Rk7vN2pLs4X￥"
HTML, MARKDOWN = ColumnFormat.HTML, ColumnFormat.MARKDOWN


@pytest.mark.parametrize("alone", [LINK, CODE, "m.tb.cn/h.5TgYh8U"])
@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        *(("", ""), (" ", "\n"), ("*", "*"), ("**", "**"), ("~~", "~~"), ("`", "`"), ("` ", " `"), ("``", "``")),
        *(("<", ">"), ("**~~`", "`~~**")),
    ],
)
def test_markdown_marks_around_a_lone_link_go_with_it(finder: Finder, alone: str, opening: str, closing: str) -> None:
    assert cleaned(finder, f"见[{opening}{alone}{closing}]({LINK})。", MARKDOWN) == f"见{MARK}。"


@pytest.mark.parametrize("alone", [f"_{LINK}_", f"__{LINK}__", f"_{CODE}_"])
def test_underlines_around_a_lone_link_go_with_it(finder: Finder, alone: str) -> None:
    assert cleaned(finder, f"[{alone}]({LINK})", MARKDOWN) == MARK


@pytest.mark.parametrize(
    ("label", "stays"),
    [
        (f"**戳 {LINK}**", f"**戳 {MARK}**"),
        (f"*{LINK}", f"*{MARK}"),
        (f"**{LINK}*", f"**{MARK}*"),
        (rf"\*{LINK}\*", rf"\*{MARK}\*"),
        (f"* {LINK} *", f"* {MARK} *"),
        (f"`{LINK}` `{LINK}`", f"`{MARK}` `{MARK}`"),
        *((label, label) for label in ("*", "**", "`", "<>", "****", "**花架**", "**taobao.com**")),
    ],
)
def test_a_label_that_shows_more_than_a_link_stays(finder: Finder, label: str, stays: str) -> None:
    assert cleaned(finder, f"[{label}]({LINK})", MARKDOWN) == stays + MARK


def test_the_marks_of_markdown_are_text_in_html(finder: Finder) -> None:
    assert cleaned(finder, f'<a href="{LINK}">**{LINK}**</a>', HTML) == f"**{MARK}**{MARK}"
    assert cleaned(finder, f'<a href="{LINK}"><b>{LINK}</b></a>', HTML) == MARK


@pytest.mark.parametrize(
    "label",
    [
        *("m.tb.cn", "m.tb.cn/", "https://m.tb.cn", "//m.tb.cn/", "m.tb.cn?from=app", "t.cn", "xhslink.com"),
        *("taobao.com", "taobao.com/"),
    ],
)
def test_a_label_that_only_names_a_host_stays(finder: Finder, label: str) -> None:
    assert cleaned(finder, f'<a href="{LINK}">{label}</a>', HTML) == label + MARK
    assert cleaned(finder, f"[{label}]({LINK})", MARKDOWN) == label + MARK


@pytest.mark.parametrize("label", ["guafen.taobao.com", "https://taobao.com", "https://blog.example/1", "t.cn/A6abcDe"])
def test_a_label_that_is_any_link_goes(finder: Finder, label: str) -> None:
    assert cleaned(finder, f'<a href="{LINK}">{label}</a>', HTML) == MARK
    assert cleaned(finder, f"[{label}]({LINK})", MARKDOWN) == MARK


def test_a_label_that_wraps_a_link_behind_a_mere_host_goes(finder: Finder) -> None:
    label = "https://m.tb.cn?u=https%3A%2F%2Fitem.taobao.com%2Fitem.htm"
    assert cleaned(finder, f'<a href="{LINK}">{label}</a>', HTML) == MARK


ITEM = "https://item.taobao.com/item.htm?id=77"


@pytest.mark.parametrize(
    "target",
    [
        *("https://item.jd.com/8.html", "<https://item.jd.com/8.html>", "//item.jd.com/8.html"),
        *("https://item\\.jd.com/8.html", "https://blog.example/8"),
    ],
)
@pytest.mark.parametrize(("opening", "closing"), [('"', '"'), ("'", "'"), ("(", ")"), ("“", "”")])
@pytest.mark.parametrize("link", [ITEM, CODE])
def test_a_title_of_a_link_that_stays_is_read(
    finder: Finder, target: str, opening: str, closing: str, link: str
) -> None:
    for start in ("[灯]", "![灯]"):
        text = f"{start}({target} {opening}{link}{closing})"
        assert cleaned(finder, text, MARKDOWN) == text.replace(link, MARK)
        assert finder.find(text, MARKDOWN).counted == (("jd.com",) if "jd" in target else ())


def test_a_title_of_a_link_that_goes_goes_with_it(finder: Finder) -> None:
    assert cleaned(finder, f'[灯]({LINK} "{ITEM}")', MARKDOWN) == f"灯{MARK}"
    nested = f'[![灯](https://item.jd.com/8.png "{ITEM}")]({LINK})'
    assert cleaned(finder, nested, MARKDOWN) == f'![灯](https://item.jd.com/8.png "{MARK}"){MARK}'


@pytest.mark.parametrize(
    ("text", "after"),
    [
        (f"{ITEM}[灯]({LINK})", f"{MARK}灯{MARK}"),
        (f"{ITEM}![灯]({LINK})", f"{MARK}灯{MARK}"),
        (f"{ITEM}[[灯]]({LINK})", f"{MARK}[灯]{MARK}"),
        (f"{ITEM}[![灯](https://a.example/d.png)]({LINK})", f"{MARK}![灯](https://a.example/d.png){MARK}"),
        (f"{ITEM}[灯](https://blog.example/8)", f"{MARK}[灯](https://blog.example/8)"),
        (f"taobao://[灯]({LINK})", f"{MARK}灯{MARK}"),
        (f"[灯]({LINK}){ITEM}", f"灯{MARK}{MARK}"),
        (f"手淘 啊{CODE[1:-1]}![灯](https://blog.example/8)", f"手淘 啊{MARK}![灯](https://blog.example/8)"),
        (f"{ITEM}[灯][1]", f"{MARK}灯][1]"),
    ],
)
def test_a_url_ends_where_a_markdown_link_begins(finder: Finder, text: str, after: str) -> None:
    assert cleaned(finder, text, MARKDOWN) == after


def test_images_in_one_another_cost_their_length(finder: Finder) -> None:
    depth = 5_000
    nested = "![" * depth + "灯" + f"]({ITEM})" * depth
    start = time.process_time()
    after = cleaned(finder, nested, MARKDOWN)
    assert time.process_time() - start < 5
    assert "taobao" not in after
    shallow = "![" * 20 + "灯" + f"]({ITEM})" * 20
    assert cleaned(finder, shallow, MARKDOWN) == "灯" + MARK * 20
