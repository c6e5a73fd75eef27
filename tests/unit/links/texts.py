"""Strategies: texts that mix links of a policy, near misses, disguises, cues and markup."""

import json
from html import escape

from hypothesis import strategies as st

from cleanup.vocabulary import ColumnFormat

_HOSTS = (
    "item.taobao.com/item.htm?id=612345678901",
    "m.tb.cn/h.4AbcDe7",
    "e.tb.cn/h.4AbcDe74AbcDe77",
    "t.cn/A6abcDe",
    "xhslink.com/a1B2c3",
    "detail.tmall.com/item.htm",
    "shop1.taobao.com",
    "taobao.com",
    "2.taobao.com/item.htm",
    "www.xiaohongshu.com/goods-detail/5f0c",
    "live.taobao.com/room",
    "item.jd.com/100.html",
    "blog.example/a/b?c=1",
    "item.taobao.com.evil.example/x",
    "login.taobao.com/?r=https%3A%2F%2Fitem.taobao.com%2Fi",
)
_SCHEMES = (
    "https://",
    "http://",
    "HTTPS://",
    "//",
    "",
    "",
    "taobao://",
    "tmall://",
    "hxxp://",
    r"https:\/\/",
    "https：//",
    "https：/",
    "-",
)
_CODES = ("Ab3dEf6hIj9", "aB3dEf6hI", "12345678901", "iPhone12Pro", "Zz9yYx8wWv7")
_MARKS = ("￥￥", "$$", "€¥", "💰💰", "🔑￥", "()", "（）", "《》", "//", "啊，", "信!", "  ", "＄£")
_GLUE = (
    *(
        "",
        " ",
        "\n",
        "\r\n",
        "，",
        "。",
        "好",
        "直播间",
        "live",
        "手淘",
        "复制",
        "淘口令",
        "抖音",
        "【小红书】",
        "👉",
        "a",
        "=",
    ),
    *(
        "@",
        "/",
        ".",
        ")",
        "(",
        "]",
        "{",
        "}",
        "'",
        "\\",
        "https://",
        "taobao://",
        "://",
        "//",
        "-",
        "#",
        "?sm=1",
        "x.cc/",
        "%2F%2F",
        "\u200b",
        "&",
        "<",
        ">",
        "*",
        "_",
        "`",
    ),
    *(
        "[",
        "](",
        "<b>",
        "<br>",
        "</a>",
        '<a href="',
        '">',
        "![",
        "￥",
        "啊",
        "h.",
        "tb.cn",
        "\x00",
        "\ud83d",
        "&amp;",
        "&#x2e;",
    ),
)


def _disguise(host: str, how: int) -> str:
    head, dot, tail = host.partition(".")
    name, slash, path = tail.partition("/")
    match how:
        case 1:
            return head + dot + name.replace(".", "。") + slash + path
        case 2:
            return "".join(chr(ord(mark) + 0xFEE0) if mark.isalnum() else mark for mark in head) + dot + tail
        case 3:
            return host.replace("ao", "a\u200bo", 1).replace("tb", "t\u00adb", 1)
        case 4:
            return head + dot + name.replace(".", "%2E").replace("t", "%74") + slash + path
        case 5:
            return host.upper()
        case 6:
            return "user:pw@" + host
        case _:
            return host


def _wrapped(url: str, levels: int) -> str:
    for _ in range(levels):
        encoded = url.replace("%", "%25").replace(":", "%3A").replace("/", "%2F").replace("?", "%3F")
        url = f"https://jump.example/?to={encoded}"
    return url


urls = st.builds(
    lambda scheme, host, how, levels: _wrapped(scheme + _disguise(host, how), levels),
    st.sampled_from(_SCHEMES),
    st.sampled_from(_HOSTS),
    st.integers(0, 9),
    st.sampled_from((0, 0, 0, 0, 1, 2, 3)),
)
codes = st.builds(lambda marks, code: marks[0] + code + marks[1], st.sampled_from(_MARKS), st.sampled_from(_CODES))
_noise = st.text(st.characters(codec="utf-8"), max_size=6)
texts = st.lists(st.one_of(urls, urls, codes, st.sampled_from(_GLUE), st.sampled_from(_GLUE), _noise), max_size=12).map(
    "".join
)


def storable(text: str) -> str:
    """What a UTF-8 database can hold of a text."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")


def _html(text: str, how: int, target: str) -> str:
    if how == 0:
        return text
    inner = escape(text) if how < 3 else "".join(f"&#{ord(mark)};" if mark in "./:taob￥" else mark for mark in text)
    return f'<p>{inner}</p><div><a href="{escape(target)}">{inner}</a></div>'


def _markdown(text: str, how: int, target: str) -> str:
    match how:
        case 0:
            return text
        case 1:
            return f"[**{text}**]({target}) [`{text}`]({target})[<{text}>]({target})[_{text}_](<{target}>)"
        case 2:
            return f"[题]({target} \"{text}\") [![图]({target} '{text}')]({target})"
        case _:
            return f"# 题\n\n[{text}]({target}) ![图]({target} '题') `{text}`\n"


def _json(text: str, how: int, target: str) -> str:
    if how == 0:
        return text
    document = json.dumps({"a": [text, 1.50, {"b": target}], target: text}, ensure_ascii=how == 1)
    return document.replace("/", "\\/") if how == 3 else document.replace("t", "\\u0074") if how == 4 else document


def _in_format(column_format: ColumnFormat, text: str, how: int, target: str) -> str:
    match column_format:
        case ColumnFormat.HTML:
            return _html(text, how, target)
        case ColumnFormat.MARKDOWN:
            return _markdown(text, how, target)
        case ColumnFormat.JSON:
            return _json(text, how, target)
        case ColumnFormat.TEXT | ColumnFormat.URL:
            return text


def values(column_format: ColumnFormat) -> st.SearchStrategy[str]:
    """Values of one format, well formed and broken."""
    return st.builds(_in_format, st.just(column_format), texts, st.integers(0, 4), urls).map(storable)
