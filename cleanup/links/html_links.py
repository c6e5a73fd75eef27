"""The links of an HTML text: text nodes read through references, and anchors as a whole."""

from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import Final

from cleanup.links.decide import Judge
from cleanup.links.html_markup import Token, TokenKind, tokens
from cleanup.links.lines import BREAK
from cleanup.links.markup_links import Wrap, in_raw, join
from cleanup.links.spans import Recognition
from cleanup.links.text_links import Target, TextReader
from cleanup.links.urls import Url, whole_url
from cleanup.links.views import View, ViewBuilder

_LINE_TAGS: Final = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd", "details", "dialog"),
        *("dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5"),
        *("h6", "head", "header", "hgroup", "hr", "html", "legend", "li", "main", "menu", "nav", "ol", "optgroup"),
        *(
            "option",
            "p",
            "pre",
            "search",
            "section",
            "summary",
            "table",
            "tbody",
            "tfoot",
            "thead",
            "title",
            "tr",
            "ul",
        ),
    )
)
_VOID: Final = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
_NO_URL: Final = Url("", "", "")


@dataclass(slots=True)
class _Anchor:
    token: Token
    view_start: int


class _Page:
    """Reads the tokens of one text into a view and a list of anchors."""

    def __init__(self, html: str) -> None:
        self._html = html
        self._builder = ViewBuilder(html)
        self._open: list[str] = []
        self._count: Counter[str] = Counter()
        self._anchor: _Anchor | None = None
        self.wraps: list[Wrap] = []
        self.targets: list[Target] = []

    def read(self) -> View:
        for token in tokens(self._html):
            if token.kind is TokenKind.TEXT:
                self._builder.plain(token.start, token.end)
            elif token.kind is TokenKind.REFERENCE:
                self._builder.escape(token.text, token.start, token.end)
            else:
                self._tag(token)
        self._close_anchor(len(self._html), len(self._html))
        return self._builder.build()

    def _tag(self, token: Token) -> None:
        if token.kind is TokenKind.START_TAG and token.name == "a":
            self._close_anchor(token.start, token.start)
        if token.kind is TokenKind.END_TAG:
            self._end(token)
        self._builder.escape("\n" if token.name in _LINE_TAGS else BREAK, token.start, token.end)
        if token.kind is TokenKind.START_TAG and token.name not in _VOID:
            self._open.append(token.name)
            self._count[token.name] += 1
            if token.name == "a":
                self._anchor = _Anchor(token, self._builder.length)

    def _end(self, token: Token) -> None:
        """Close the newest element of that name with all inside it; an end tag without a beginning is nothing."""
        if not self._count[token.name]:
            return
        while True:
            name = self._open.pop()
            self._count[name] -= 1
            if name == "a":
                self._close_anchor(token.start, token.end if token.name == "a" else token.start)
            if name == token.name:
                return

    def _close_anchor(self, label_end: int, end: int) -> None:
        anchor, self._anchor = self._anchor, None
        if anchor is None or anchor.token.href is None:
            return
        url = whole_url(anchor.token.href) or _NO_URL
        view = (anchor.view_start, self._builder.length)
        self.wraps.append(Wrap(anchor.token.start, end, anchor.token.end, label_end, *view))
        self.targets.append(Target(anchor.view_start, url, anchor.token.href.strip()))


def find_in_html(html: str, reader: TextReader, judge: Judge) -> Recognition:
    """Every link of an HTML text; offsets are those of the raw text."""
    page = _Page(html)
    view = page.read()
    found = reader.read(view.text, judge, targets=page.targets)
    spans = [in_raw(span, view, as_html) for span in found.spans]
    return Recognition(join(html, view.text, page.wraps, found, spans, as_html), tuple(found.counted))


def as_html(text: str) -> str:
    """A plain text as it stands in a text node."""
    return escape(text, quote=False)


def html_targets(html: str) -> tuple[str, tuple[Target, ...]]:
    """What a reader sees of an HTML text, and the targets of its anchors."""
    page = _Page(html)
    view = page.read()
    return view.text, tuple(page.targets)
