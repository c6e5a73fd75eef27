"""Share codes beside paths, hosts and other links: what counts as text again behind them."""

import pytest

from cleanup.links.finder import Finder
from tests.unit.links.stable import cleaned

MARK = "[链接已移除]"
CODE, OTHER = "Lp4Xw9QzT2n", "Hs7Vb3Kd8Rm"
SHORT = "https://m.tb.cn/h.5TgYh8U"


@pytest.mark.parametrize(
    ("text", "after"),
    [
        (f"手淘打开 /{CODE}/tanuki的灯", f"手淘打开 {MARK}tanuki的灯"),
        (f"手淘 /{CODE}/8折", f"手淘 {MARK}8折"),
        (f"手淘 /{CODE}/v2.0 版", f"手淘 {MARK}v2.0 版"),
        (f"手淘 /{CODE}//{OTHER}/", f"手淘 {MARK}{MARK}"),
        (f"手淘 /{CODE}/{OTHER}/", f"手淘 {MARK}{OTHER}/"),
        (f"手淘 /{CODE}/https://item.taobao.com/item.htm", f"手淘 {MARK}{MARK}"),
        (f"手淘 /{CODE}/-m.tb.cn/h.5TgYh8U", f"手淘 {MARK}-m.tb.cn/h.5TgYh8U"),
        (f"手淘 /{CODE}//item.taobao.com/item.htm", f"手淘 {MARK}/item.taobao.com/item.htm"),
    ],
)
def test_text_may_be_glued_to_a_code_between_slashes(finder: Finder, text: str, after: str) -> None:
    assert cleaned(finder, text) == after


@pytest.mark.parametrize(
    "behind",
    [
        *("item.taobao.com/item.htm", "m。tb。cn/h.5TgYh8U", "//item.taobao.com/item.htm", "taobao.com"),
        "guafen.taobao.comhttps://blog.example/",
    ],
)
def test_a_slash_that_holds_back_a_link_is_no_mark_of_a_code(finder: Finder, behind: str) -> None:
    text = f"手淘 /{CODE}/{behind}"
    assert cleaned(finder, text) == text


@pytest.mark.parametrize(
    "text", [f"手淘 x.example/{CODE}/", f"手淘 x.example/a/{CODE}/{OTHER}/", f"手淘 a.cc:80/{CODE}/"]
)
def test_a_path_holds_no_code(finder: Finder, text: str) -> None:
    assert cleaned(finder, text) == text


@pytest.mark.parametrize(
    ("text", "after"),
    [
        (f"手淘 {SHORT}/{CODE}/", f"手淘 {MARK}{MARK}"),
        (f"手淘 {SHORT}?sm=1#/{CODE}/", f"手淘 {MARK}#{MARK}"),
        (f"手淘 x.example/${OTHER}$/{CODE}/", f"手淘 x.example/{MARK}{MARK}"),
        (f"手淘 x.example/{SHORT}/{CODE}/", f"手淘 x.example/{MARK}{MARK}"),
    ],
)
def test_a_path_ends_at_a_link_or_code(finder: Finder, text: str, after: str) -> None:
    assert cleaned(finder, text) == after
