"""The finder: every link of a value in its column's format, each with its decision and reason."""

from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, assert_never

from cleanup.links.decide import strictness
from cleanup.links.html_links import find_in_html, html_targets
from cleanup.links.json_links import LeafFormats, find_in_json, leaf_texts
from cleanup.links.markdown_links import find_in_markdown, markdown_targets
from cleanup.links.rules import Policy
from cleanup.links.spans import Recognition, Span
from cleanup.links.text_links import Target, TextReader
from cleanup.links.urls import Url, whole_url
from cleanup.vocabulary import ColumnFormat, Decision

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Finder:
    """Finds and decides the links of values under one policy; it holds no state between values."""

    def __init__(self, policy: Policy) -> None:
        self._reader = TextReader(policy)
        self._judge = self._reader.judge(_NOTHING)

    def find(
        self,
        value: str,
        column_format: ColumnFormat,
        *,
        resolution: Mapping[str, str] = _NOTHING,
        json_paths: tuple[str, ...] = (),
        leaf_formats: LeafFormats = (),
        url_replacement: str | None = None,
    ) -> Recognition:
        """Everything the policy says of one value.

        `resolution` maps short and opaque URLs, as `lookups` spells them, to their targets.
        `json_paths` (`content.items[*].text`) limit a document to some of its leaves; `leaf_formats`
        name the format of those that are not text.
        `url_replacement` takes the place of the placeholder in a `url` value; where the column
        becomes NULL the caller writes that instead. Nothing in a value raises: what cannot be read
        in its format comes back as the recognition's `problem`.
        """
        judge = self._reader.judge(resolution) if resolution else self._judge
        match column_format:
            case ColumnFormat.TEXT:
                found = self._reader.read(value, judge)
                return Recognition(tuple(found.spans), tuple(found.counted))
            case ColumnFormat.HTML:
                return find_in_html(value, self._reader, judge)
            case ColumnFormat.MARKDOWN:
                return find_in_markdown(value, self._reader, judge)
            case ColumnFormat.JSON:
                read = partial(self.find, resolution=resolution)
                return find_in_json(value, read, json_paths, leaf_formats)
            case ColumnFormat.URL:
                return self._find_whole(value, resolution, url_replacement)
            case _:
                assert_never(column_format)

    def lookups(self, value: str, column_format: ColumnFormat) -> tuple[str, ...]:
        """The URLs of a value that `find` would look up in a resolution map, in both spellings, without repeats."""
        spellings: dict[str, None] = {}
        for url, written in self._urls(value, column_format):
            spellings.update(dict.fromkeys(self._judge.lookups(url, written)))
        return tuple(spellings)

    def _urls(self, value: str, column_format: ColumnFormat) -> Iterator[tuple[Url, str]]:
        match column_format:
            case ColumnFormat.TEXT:
                views = [value]
            case ColumnFormat.URL:
                views = [value]
                if whole := whole_url(value):
                    yield whole, value.strip()
            case ColumnFormat.HTML:
                text, targets = html_targets(value)
                views = [text]
                yield from ((target.url, target.written) for target in targets)
            case ColumnFormat.MARKDOWN:
                views = [value]
                yield from markdown_targets(value)
            case ColumnFormat.JSON:
                views = [view.text for view in leaf_texts(value)]
            case _:
                assert_never(column_format)
        for view in views:
            for extent in self._reader.extents(view, markdown=column_format is ColumnFormat.MARKDOWN):
                yield extent.url, view[extent.start : extent.end]

    def _find_whole(self, value: str, resolution: Mapping[str, str], replacement: str | None) -> Recognition:
        """A value that is one link: the span covers all of it."""
        judge = self._reader.judge(resolution)
        url = whole_url(value)
        target = [Target(0, url, value.strip())] if url else []
        whole = self._reader.read("", judge, targets=target)
        spans: list[Span] = [span for span in whole.targets if span]
        counted = whole.counted
        if not spans and not counted:
            # Not a URL of ours as it stands: a link with words around it is still a link in this column.
            found = self._reader.read(value, judge)
            spans, counted = found.spans, found.counted
        if not spans:
            return Recognition(counted=tuple(counted))
        strictest = max(spans, key=lambda span: strictness(span.decision))
        return Recognition((_covering(strictest, len(value), replacement),), tuple(counted))


def _covering(span: Span, length: int, replacement: str | None) -> Span:
    changed = replacement if replacement is not None and span.decision is Decision.REDACT else span.replacement
    return span._replace(start=0, end=length, replacement=changed)
