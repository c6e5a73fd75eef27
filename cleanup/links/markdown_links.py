"""The links of a Markdown text: inline links and images as a whole, all else as running text."""

import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Final

from cleanup.links.decide import Judge
from cleanup.links.lines import BREAK
from cleanup.links.markdown_markup import MarkdownLink, markdown_links
from cleanup.links.markup_links import Wrap, join
from cleanup.links.rules import KindRule
from cleanup.links.spans import Recognition
from cleanup.links.text_links import Target, TextReader
from cleanup.links.urls import Url, whole_url

# Line breaks stay when a text is masked, so that a title over two lines does not join them.
_SHOWN: Final = re.compile(r"[^\r\n]")
# Emphasis, code spans and <...>, which a reader does not see.
_MARKS: Final = MappingProxyType({"*": "*", "_": "_", "~": "~", "`": "`", "<": ">"})


def find_in_markdown(text: str, reader: TextReader, judge: Judge) -> Recognition:
    """Every link of a Markdown text; offsets are those of the raw text."""
    if "](" not in text:
        found = reader.read(text, judge, markdown=True)
        return Recognition(tuple(found.spans), tuple(found.counted))
    inline = _Inline(text, judge)
    found = reader.read(inline.masked, judge, markdown=True, targets=inline.targets)
    spans = join(text, inline.masked, inline.wraps, found, found.spans, _as_markdown, _MARKS)
    return Recognition(spans, tuple(found.counted))


class _Inline:
    """The inline links in scope or counted; their targets are masked, since they are no running text."""

    def __init__(self, text: str, judge: Judge) -> None:
        self.wraps: list[Wrap] = []
        self.targets: list[Target] = []
        hidden: list[tuple[int, int]] = []
        for link in markdown_links(text):
            url = whole_url(link.target)
            written = link.target.strip()
            rule = judge.rule(url, written) if url else None
            if url is not None and rule is not None:
                self.wraps.append(_wrap(link))
                self.targets.append(Target(link.start, url, written))
            hidden += _hidden(link, rule)
        self.masked = _masked(text, sorted(hidden))


def _hidden(link: MarkdownLink, rule: KindRule | None) -> tuple[tuple[int, int], ...]:
    """The ranges of a link that are no running text: its brackets end a URL beside them, whatever is read inside."""
    bracket = (link.label_start - 1, link.label_start)
    if rule is not None and rule.decision is not None:
        return (bracket, (link.label_end, link.end))
    # A link that is only counted stays, so its title is read; any other's target is read as well.
    opened = link.label_end + 2 if rule is None else link.target_end
    return (bracket, (link.label_end, opened), (link.end - 1, link.end))


def _masked(text: str, hidden: Sequence[tuple[int, int]]) -> str:
    parts: list[str] = []
    position = 0
    for start, end in hidden:
        parts += (text[position:start], _SHOWN.sub(BREAK, text[start:end]))
        position = end
    parts.append(text[position:])
    return "".join(parts)


def _wrap(link: MarkdownLink) -> Wrap:
    return Wrap(link.start, link.end, link.label_start, link.label_end, link.label_start, link.label_end)


def _as_markdown(text: str) -> str:
    return text


def markdown_targets(text: str) -> Iterator[tuple[Url, str]]:
    """The targets of the inline links and images, as URLs and as written."""
    for link in markdown_links(text):
        if url := whole_url(link.target):
            yield url, link.target.strip()
