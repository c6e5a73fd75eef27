"""Places of edits in a text that somebody edited since: for certain, or not at all."""

import time
import timeit
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanup.links.edits import invert, splice
from cleanup.links.logged_edits import LoggedEdit, decode_logged, encode_edits
from cleanup.links.placing import Unplaced, place_edits
from cleanup.links.spans import Span
from cleanup.links.words import Words
from cleanup.vocabulary import Decision

MARK = "〔链接已移除〕"
LINK = "https://item.taobao.com/item.htm?id="


def redacted(text: str) -> tuple[str, list[LoggedEdit]]:
    """The text with every link of the test taken out, and what the log would say of it."""
    spans: list[Span] = []
    start = text.find(LINK)
    while start >= 0:
        end = start + len(LINK) + 1
        spans.append(Span(start, end, "taobao", "product", Decision.REDACT, "r", "h", MARK))
        start = text.find(LINK, end)
    change = splice(text, spans)
    return change.after, list(decode_logged(encode_edits(change.edits, change.after, Words()), Words()))


def restored(text: str, edits: list[LoggedEdit]) -> str:
    spots = place_edits(text, edits)
    placed = [logged.edit.at(spot) for logged, spot in zip(edits, spots, strict=True) if isinstance(spot, int)]
    return invert(text, sorted(placed, key=lambda edit: edit.start))


@pytest.mark.parametrize(
    ("before", "edit", "expected"),
    [
        pytest.param(
            f"今天入手的裙子在这里 {LINK}1 大家可以去看看哦",
            lambda text: "【更新】" + text + "，已售罄",
            f"【更新】今天入手的裙子在这里 {LINK}1 大家可以去看看哦，已售罄",
            id="far from the link",
        ),
        pytest.param(
            f"今天入手的裙子在这里 {LINK}1 大家可以去看看哦",
            lambda text: text.replace("大家可以", "你们都快"),
            f"今天入手的裙子在这里 {LINK}1 你们都快去看看哦",
            id="directly behind the link",
        ),
        pytest.param(
            f"今天入手的裙子在这里 {LINK}1 大家可以去看看哦",
            lambda text: text.replace("在这里 ", "→"),
            f"今天入手的裙子→{LINK}1 大家可以去看看哦",
            id="directly before the link",
        ),
        pytest.param(f"{LINK}1", lambda text: text + " 谢谢", f"{LINK}1 谢谢", id="the whole text was the link"),
        pytest.param(
            f"红色的裙子：{LINK}1\n蓝色的外套：{LINK}2\n",
            lambda text: "\n".join(reversed(text.strip().split("\n"))) + "\n",
            f"蓝色的外套：{LINK}2\n红色的裙子：{LINK}1\n",
            id="lines changed places",
        ),
        pytest.param(
            f"买它{LINK}1{LINK}2{LINK}3真的好看到哭",
            lambda text: "注：" + text,
            f"注：买它{LINK}1{LINK}2{LINK}3真的好看到哭",
            id="links that touch are told apart by their order",
        ),
        pytest.param(
            f"红色的裙子：{LINK}1\n蓝色的外套：{LINK}2\n",
            lambda text: text.split("\n")[1] + "\n",
            f"蓝色的外套：{LINK}2\n",
            id="one line was deleted",
        ),
    ],
)
def test_a_link_goes_back_to_its_place(before: str, edit: object, expected: str) -> None:
    after, edits = redacted(before)
    assert callable(edit)
    assert restored(edit(after), edits) == expected


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        pytest.param(f"看这里 {LINK}1 不错", "看这里 不错", Unplaced.NOT_FOUND, id="taken out"),
        pytest.param(f"看这里 {LINK}1 不错", f"全新的开头{MARK}全新的结尾", Unplaced.NOT_FOUND, id="rewritten around"),
        pytest.param(
            f"看这里看这里 {LINK}1 不错不错不错",
            f"看这里看这里 {MARK} 不错不错不错\n看这里看这里 {MARK} 不错不错不错",
            Unplaced.NOT_UNIQUE,
            id="copied",
        ),
        pytest.param(f"看{LINK}1", MARK * 20_000, Unplaced.NOT_UNIQUE, id="repeated without end"),
    ],
)
def test_an_uncertain_place_is_none(before: str, now: str, reason: Unplaced) -> None:
    _, edits = redacted(before)
    assert place_edits(now, edits) == [reason]


def test_of_two_that_look_alike_neither_is_guessed() -> None:
    _, edits = redacted(f"链接在这里{LINK}1\n链接在这里{LINK}2\n链接在这里{LINK}3\n")
    spots = place_edits(f"链接在这里{MARK}\n链接在这里{MARK}\n", edits)
    assert Unplaced.NOT_UNIQUE in spots
    assert all(not isinstance(spot, int) or spot == 5 for spot in spots[:1])


words = st.text("裙子红蓝a b\n", max_size=14)


@given(st.lists(st.tuples(words, st.booleans()), max_size=6), words, words)
def test_every_placed_link_stands_where_the_mark_stood(parts: list[tuple[str, bool]], head: str, tail: str) -> None:
    before = "".join(word + (f"{LINK}{number}" if linked else "") for number, (word, linked) in enumerate(parts))
    after, edits = redacted(before)
    now = head + after + tail
    spots = place_edits(now, edits)
    # Text added at the ends moves every place by as much, and hides none but those near the ends.
    for logged, spot in zip(edits, spots, strict=True):
        assert not isinstance(spot, int) or spot == logged.edit.start + len(head)
    assert place_edits(after, edits) == [logged.edit.start for logged in edits]


@given(st.text("ab" + MARK, max_size=40))
def test_in_any_text_places_never_overlap(now: str) -> None:
    _, edits = redacted(f"ab{LINK}1ba{LINK}2ab")
    spots = sorted(spot for spot in place_edits(now, edits) if isinstance(spot, int))
    assert all(now.startswith(MARK, spot) for spot in spots)
    assert all(second - first >= len(MARK) for first, second in pairwise(spots))


@pytest.mark.parametrize("line", ["第{number}件商品的链接 {link}，", "同样的一句话 {link}，"])
def test_many_links_cost_as_much_as_the_text(line: str) -> None:
    def seconds(links: int) -> float:
        _, edits = redacted("".join(line.format(number=number, link=LINK + "1") for number in range(links)))
        now = "改" + "".join(line.format(number=number, link=MARK) for number in range(links))
        assert all(isinstance(spot, int) for spot in place_edits(now, edits))
        # Without looking for cycles, which would go through all that the test's process holds.
        return min(timeit.repeat(lambda: place_edits(now, edits), time.process_time, number=1, repeat=3))

    # Ten times the links; a quadratic search would take a hundred times as long.
    assert seconds(4_000) < 40 * seconds(400)
