"""The prefilter: selective, cached safely, and hardly dearer for a policy of a thousand hosts."""

import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from cleanup.links.finder import Finder
from cleanup.links.hosts import DROPPED, maps_into_host
from cleanup.links.policy import Policy
from cleanup.links.prefilter import Prefilter
from cleanup.links.prefilter_patterns import BytePattern, byte_patterns, policy_roots
from cleanup.links.rules import HostMatch, HostRule
from cleanup.vocabulary import ColumnFormat

TEXT = frozenset({ColumnFormat.TEXT})
EVERY = frozenset(ColumnFormat)

LINK_FREE = [
    "雨停了，屋檐还在滴水。今天走了 12,345 步，花了￥59.9，省下$3。",
    "iPhone 12 Pro Max 用了两年。MacBook Air（M1）也还行，v2.10.3-rc1 出了！",
    "Got this bag last week, love it! Size M fits 165cm/52kg :-) 👍🏻🎉",
    "隔壁店 https://www.etsy.example/listing/123456789/blue-vase?ref=shop_home 有个蓝花瓶",
    "视频 https://video.example/BV1xx411c7mD/?p=2 和 https://music.example/song?id=1901371647 都好听",
    "电话 13900001111，邮箱 lin.mu@mail.example，微信同号。",
    "表情😂😂😂一串🍓🍑🍒，还有❤️和☀️，ＡＢＣ全角１２３也有。",
    "（12 月 3 日）《夜航西飞》读完了，推荐！信不信由你，哈哈哈。",
    "文档在 https://docs.example/zh-cn/guide/installation/quickstart.html#step-2 第二步",
    "https://jump.example/?url=https%3A%2F%2Fnews.example%2Fa%2Fb.html&from=app 是新闻",
    "路径 /usr/local/share/application/x.desktop 和 C:\\Users\\a",
    "淘宝一下全是，京东也有，挑花眼了。taob ao、t b.cn 都不是。",
]


@pytest.mark.parametrize("text", LINK_FREE)
def test_a_text_without_links_hits_nothing(policy: Policy, text: str) -> None:
    assert list(Prefilter.compile(policy, TEXT).hits(text.encode())) == []


def test_the_middle_of_a_longer_label_is_no_host(policy: Policy) -> None:
    prefilter = Prefilter.compile(policy, TEXT)
    for text in ("https://mytaobao.com/", "https://item-taobao.com/", "see taobao.company", "xt.cn/a", "t.cnn"):
        assert list(prefilter.hits(text.encode())) == []
    assert list(prefilter.hits(b"\x00\x00\x00\x41t.cn/A6abcDe")) == [8]


def test_a_host_at_the_end_of_emphasis_is_hit(finder: Finder, policy: Policy) -> None:
    prefilter = Prefilter.compile(policy, frozenset({ColumnFormat.MARKDOWN}))
    for text in ("_http://taobao.com_", "__https://guafen.taobao.com__", "*https://guafen.taobao.com*"):
        assert finder.find(text, ColumnFormat.MARKDOWN).spans
        assert prefilter.hits(text.encode())


def test_a_row_is_hit_where_its_link_stands(policy: Policy) -> None:
    rows = [b"none", "看 https://item.taobao.com/i".encode(), b"none", "￥Ab3dEf6hIj9￥".encode()]
    buffer = b"".join(len(row).to_bytes(4, "big") + row for row in rows)
    prefilter = Prefilter.compile(policy, TEXT)
    for kind in (bytes, bytearray, memoryview):
        hits = list(prefilter.hits(kind(buffer)))
        assert hits == sorted(hits)
        assert len(hits) == 2


def test_every_disguise_of_a_host_is_in_the_patterns(policy: Policy) -> None:
    prefilter = Prefilter.compile(policy, TEXT)
    disguises = [chr(point) for point in range(0x80, 0x20000) if not 0xD800 <= point <= 0xDFFF]
    missed = [
        mark
        for mark in disguises
        if (mark in DROPPED or maps_into_host(mark)) and not prefilter.hits(f"https://x{mark}/".encode())
    ]
    assert missed == []


def test_the_cache_is_private_and_a_damaged_file_is_built_anew(policy: Policy, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    Prefilter.compile(policy, TEXT, cache)
    (file,) = cache.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    whole = file.read_bytes()
    for damaged in (b"", b"x", whole[:-1], whole[:60] + b"\x00" + whole[61:], whole + b"x"):
        file.write_bytes(damaged)
        assert Prefilter.compile(policy, TEXT, cache).hits(b"https://m.tb.cn/h.4AbcDe7")
        assert file.read_bytes() == whole
    Prefilter.compile(policy, EVERY, cache)
    assert len(list(cache.iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_no_error(policy: Policy, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert Prefilter.compile(policy, TEXT, blocked).hits(b"https://item.taobao.com/")


def with_hosts(policy: Policy, names: Iterable[str]) -> Policy:
    """The policy with further hosts."""
    more = tuple(HostRule(name, HostMatch.SUFFIX, "", False, policy.hosts[0].kind) for name in names)
    return replace(policy, hosts=(*policy.hosts, *more))


def beside_literals(policy: Policy) -> list[BytePattern]:
    """The patterns that are no hosts."""
    return [pattern for pattern in byte_patterns(policy, EVERY) if not pattern.literal]


def test_a_thousand_hosts_add_nothing_but_literals(policy: Policy) -> None:
    large = with_hosts(policy, (f"shop{number}.example" for number in range(1_000)))
    assert beside_literals(large) == beside_literals(with_hosts(policy, ["shop0.example"]))
    assert len(policy_roots(large)) == len(policy_roots(policy)) + 1_000
    prefilter = Prefilter.compile(large, EVERY)
    assert prefilter.hits(b"https://shop777.example/a")
    for text in LINK_FREE[:3]:
        assert list(prefilter.hits(text.encode())) == []


def test_hosts_under_thousands_of_labels_fit_into_a_pattern(policy: Policy) -> None:
    """The library refuses patterns of more than 16,000 characters."""
    large = with_hosts(policy, (f"shop.market{number}.example" for number in range(3_000)))
    assert beside_literals(large) == beside_literals(with_hosts(policy, ["shop.market0.example"]))
    prefilter = Prefilter.compile(large, EVERY)
    assert prefilter.hits("shop。market2999。example/a".encode())
    assert prefilter.hits(rb'{"a": "shop\u3002market2999\u3002example/a"}')
