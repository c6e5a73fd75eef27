"""What spares the finder work says the same as the finder: one plain URL at a glance, and lines instead of texts."""

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cleanup.demo.posts import generate_rows
from cleanup.links.finder import Finder
from cleanup.links.host_table import HostTable
from cleanup.links.lines import lines_around
from cleanup.links.policy import Policy
from cleanup.links.prefilter import Prefilter
from cleanup.links.scanner import UrlScanner
from cleanup.links.share_codes import ShareCodeScanner
from cleanup.links.urls import GIVEN_BACK
from cleanup.vocabulary import ColumnFormat
from tests.unit.links.conftest import LABELLED
from tests.unit.links.texts import storable, texts, urls

# A row of a scan has the length of each text before it, and of what follows behind it.
BEFORE, BEHIND = b"\x00\x00\x00\x41", b"\x00\x00\x00\x08"
_around = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=0x80), max_size=3) | st.sampled_from(
    ["", "\n", "看 ", "。", "\u3000", "\u200b", "ａ", "\r\n好"]
)
pasted = st.builds(lambda before, url, behind: before + url + behind, _around, urls, _around)


@pytest.fixture(scope="module")
def scanner(policy: Policy) -> UrlScanner:
    return UrlScanner(HostTable(policy.hosts, policy.schemes, policy.tokens))


def _check_lone(scanner: UrlScanner, policy: Policy, text: str) -> None:
    lone = scanner.lone(text)
    if lone is None:
        return
    for given_back in (GIVEN_BACK, GIVEN_BACK + "*_~"):
        assert [extent[:3] for extent in scanner.scan(text, given_back)] == [lone[:3]], text
    for rule in policy.share_codes:
        # What looks like a code is a part of the URL, where none is looked for.
        assert all(lone.start < code.end and code.start < lone.end for code in ShareCodeScanner(rule).scan(text)), text


@given(pasted | texts)
@example("https://m.tb.cn/h.4AbcDe7")
@example("https://m.tb.cn/h.4AbcDe7a")
@example("https://m.tb.cn/h.4AbcDe7?sm=1")
@example("https://taobao.com。cn")
@example("看xhttps://item.taobao.com/a")
@example("看xtaobao://item.taobao.com/a")
@example("看taobao://m.tb.cn/h.4AbcDe7b")
@example("https://x.example/?to=http://item.taobao.com/")
@example("啊Ab3dEf6hIj9.taobao.com")
@example("taobao.com/")
@example("-x.taobao.com/a")
@example("#看#https://item.taobao.com/a #好!")
@example("#日常# ,item.taobao.com/a")
@example("https://item.taobao.com_")
def test_a_lone_url_is_the_one_that_a_whole_scan_finds(scanner: UrlScanner, policy: Policy, text: str) -> None:
    _check_lone(scanner, policy, text)


def test_labelled_texts_and_their_lines_agree_on_lone_urls(scanner: UrlScanner, policy: Policy) -> None:
    for case in LABELLED:
        for text in (case.text, *case.text.split("\n")):
            _check_lone(scanner, policy, text)


def _linked_lines() -> Iterator[str]:
    for row in generate_rows("note", 3_000, seed=7):
        yield from (line for line in row.body.split("\n") if "/" in line)


def test_most_links_that_authors_paste_are_seen_at_a_glance(scanner: UrlScanner) -> None:
    lines = list(_linked_lines())
    assert len(lines) > 200
    assert sum(scanner.lone(line) is not None for line in lines) > 0.8 * len(lines)


@given(st.lists(pasted | texts, max_size=5).map("".join).map(storable))
@example("手淘\n￥Ab3dEf6hIj9￥\r(Ab3dEf6hIj9)\n复制")
@example("直播\rhttps://m.tb.cn/h.4AbcDe7\r\n直播 https://m.tb.cn/h.4AbcDe7\n")
@example("\nitem.taobao.com/a\n\n")
def test_the_lines_that_are_hit_hold_what_the_whole_text_does(
    finder: Finder, prefilters: Mapping[ColumnFormat, Prefilter], text: str
) -> None:
    encoded = text.encode()
    row = BEFORE + encoded + BEHIND
    start, end = len(BEFORE), len(BEFORE) + len(encoded)
    whole = finder.find(text, ColumnFormat.TEXT)
    inside = [hit for hit in prefilters[ColumnFormat.TEXT].hits(row) if start < hit <= end]
    if not inside:
        assert not whole.spans
        assert not whole.counted
        return
    first, behind = lines_around(row, start, end, inside[0], inside[-1])
    assert start <= first < behind <= end
    part = finder.find(row[first:behind].decode(), ColumnFormat.TEXT)
    assert part.moved(len(row[start:first].decode())) == whole


@pytest.mark.parametrize(
    ("hits", "lines"),
    [
        ((3,), "ab\n"),
        ((4,), "\ncd\r"),
        ((6,), "\ncd\r"),
        ((4, 9), "\ncd\r\n\nef"),
        ((9,), "\nef"),
        ((1, 9), "ab\ncd\r\n\nef"),
    ],
)
def test_lines_come_with_the_line_ends_around_them(hits: tuple[int, ...], lines: str) -> None:
    text = b"ab\ncd\r\n\nef"
    start, end = lines_around(text, 0, len(text), hits[0], hits[-1])
    assert text[start:end].decode() == lines
