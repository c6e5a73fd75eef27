"""Links that markup wraps around a label: anchors and Markdown links, joined with the spans of their labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from cleanup.links.decide import strictness
from cleanup.links.lines import BREAK
from cleanup.links.spans import Span
from cleanup.links.text_links import TextLinks


class Place(Protocol):
    """Leads from offsets of a view to offsets of the raw text."""

    def raw_start(self, offset: int) -> int:
        """Where the character at this offset begins."""

    def raw_end(self, offset: int) -> int:
        """Where the character before this offset ends."""


@dataclass(frozen=True, slots=True)
class Wrap:
    """One link of the markup: the raw range of the whole and of its label, and the label's range in the view."""

    start: int
    end: int
    label_start: int
    label_end: int
    view_start: int
    view_end: int


def in_raw(span: Span, place: Place, escape: "Escape") -> Span:
    """A span of a view as a span of the raw text, its replacement escaped for the format."""
    replacement = None if span.replacement is None else escape(span.replacement)
    return span._replace(start=place.raw_start(span.start), end=place.raw_end(span.end), replacement=replacement)


# The marks that a format puts around a label without showing them, each with the one that closes it.
Marks = Mapping[str, str]
_NO_MARKS: Final[Marks] = MappingProxyType({})


class Escape(Protocol):
    """Writes plain text in a format."""

    def __call__(self, text: str, /) -> str:
        """The text as the format spells it."""


def join(
    raw: str,
    view_text: str,
    wraps: Sequence[Wrap],
    found: TextLinks,
    spans: Sequence[Span],
    escape: Escape,
    marks: Marks = _NO_MARKS,
) -> tuple[Span, ...]:
    """One span for each wrap in scope with its label's spans as children, and the other spans beside them.

    `found.targets` holds the decision on each wrap; `spans` are the text's spans in raw offsets,
    ascending; wraps ascend by their end, so that an inner one comes before the one around it. A label
    whose link stands between `marks` is that link alone.
    """
    joined: list[Span] = []
    alone = _Alone(view_text, found, marks)
    waiting = list(reversed(spans))
    for wrap, target in zip(wraps, found.targets, strict=True):
        while waiting and waiting[-1].start < wrap.end:
            joined.append(waiting.pop())
        if target is None:
            continue
        first = len(joined)
        while first and joined[first - 1].start >= wrap.start:
            first -= 1
        joined[first:] = [_around(raw, wrap, target, joined[first:], alone.is_link(wrap), escape)]
    return (*joined, *reversed(waiting))


def _around(raw: str, wrap: Wrap, target: Span, children: Sequence[Span], alone: bool, escape: Escape) -> Span:
    strictest = target
    for child in children:
        if strictness(child.decision) > strictness(strictest.decision):
            strictest = child
    replacement: str | None = None
    if strictest.decision.changes_text:
        # The child's own replacement stands in the label; what follows the label stands for the link itself.
        follows = target if target.decision.changes_text else strictest
        put = escape(follows.replacement or "") if follows is target else (follows.replacement or "")
        replacement = put if alone else _label(raw, wrap, children) + put
    return strictest._replace(start=wrap.start, end=wrap.end, replacement=replacement, children=tuple(children))


def _label(raw: str, wrap: Wrap, children: Sequence[Span]) -> str:
    parts: list[str] = []
    position = wrap.label_start
    for child in children:
        if child.replacement is not None:
            parts += (raw[position : child.start], child.replacement)
            position = child.end
    parts.append(raw[position : wrap.label_end])
    return "".join(parts)


class _Alone:
    """Knows whether a label shows one link or code and nothing else."""

    def __init__(self, view_text: str, found: TextLinks, marks: Marks) -> None:
        self._text = view_text
        self._marks = marks
        links = {start: end for start, end in found.urls if start not in found.mentions}
        self._ends = links | {span.start: span.end for span in found.spans}

    def is_link(self, wrap: Wrap) -> bool:
        start, end = self._stripped(wrap.view_start, wrap.view_end)
        while start < end and self._ends.get(start) != end:
            mark = self._text[start]
            if self._marks.get(mark) != self._text[end - 1]:
                return False
            start, end = start + 1, end - 1
            if mark == "`":
                # Blanks at the edges of a code span are not shown; emphasis with such edges is none.
                start, end = self._stripped(start, end)
        return start < end

    def _stripped(self, start: int, end: int) -> tuple[int, int]:
        while start < end and (self._text[start].isspace() or self._text[start] == BREAK):
            start += 1
        while end > start and (self._text[end - 1].isspace() or self._text[end - 1] == BREAK):
            end -= 1
        return start, end
