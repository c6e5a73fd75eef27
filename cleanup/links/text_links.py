"""Every link of one running text, decided: URLs, deep links and share codes, line by line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cleanup.links.code_decisions import CodeReader, LinksOnLines
from cleanup.links.decide import Judge
from cleanup.links.host_table import HostTable
from cleanup.links.lines import BREAK, Lines, LiveCueFinder
from cleanup.links.outcomes import decided_span
from cleanup.links.rules import Policy
from cleanup.links.scanner import UrlScanner
from cleanup.links.spans import Span
from cleanup.links.templates import link_fields
from cleanup.links.urls import GIVEN_BACK, Extent, Url

_MARKDOWN_GIVEN_BACK: Final = GIVEN_BACK + "*_~"


@dataclass(frozen=True, slots=True)
class Target:
    """A link that markup holds apart from its text; `position` says on which line it stands."""

    position: int
    url: Url
    written: str


@dataclass(slots=True)
class TextLinks:
    """What one text holds: spans over the text, all URLs seen, and one span or None a target.

    `mentions` are the starts of those URLs that only name a host and are no links; looked for beside targets alone.

    The spans' `replacement` is plain text. The span of a target is empty and stands at its
    position: its place is for the caller to fill in.
    """

    spans: list[Span]
    urls: list[tuple[int, int]]
    mentions: set[int]
    targets: list[Span | None]
    counted: list[str]


class TextReader:
    """Reads running texts under one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._table = HostTable(policy.hosts, policy.schemes, policy.tokens)
        self._scanner = UrlScanner(self._table)
        self._masked_placeholder = BREAK + policy.placeholder[1:]
        self._live = LiveCueFinder(policy.live_cues)
        self._codes = [CodeReader(rule, policy.placeholder, self._scanner) for rule in policy.share_codes]

    def judge(self, resolution: Mapping[str, str]) -> Judge:
        """A judge that knows this resolution map."""
        return Judge(self._table, resolution)

    def extents(self, text: str, *, markdown: bool = False) -> list[Extent]:
        """Every URL of the text."""
        # A placeholder ends a URL, whatever its first character: `taobao.com/` stays a mention before one.
        unglued = text.replace(self._policy.placeholder, self._masked_placeholder)
        return self._scanner.scan(unglued, _MARKDOWN_GIVEN_BACK if markdown else GIVEN_BACK)

    def read(self, text: str, judge: Judge, *, markdown: bool = False, targets: Sequence[Target] = ()) -> TextLinks:
        """Find and decide every link of the text, and the links that markup holds beside it."""
        lone = None if targets else self._scanner.lone(text)
        if lone is not None:
            return self._read_lone(text, lone, judge)
        extents = self.extents(text, markdown=markdown)
        urls = [(extent.start, extent.end) for extent in extents]
        lines = Lines(text, urls, self._live)
        decider = _Decider(self._policy, self._table, judge, lines)
        spans = [
            span
            for extent in extents
            if (span := decider.span(extent.url, text[extent.start : extent.end], extent.start, extent.end))
        ]
        decided = [decider.span(target.url, target.written, target.position, target.position) for target in targets]
        codes = [(reader, some) for reader in self._codes if (some := reader.codes(text))]
        if codes:
            changed = [span.start for span in (*spans, *decided) if span and span.decision.changes_text]
            links = LinksOnLines(changed, decider.short_links)
            for reader, some in codes:
                spans += reader.read(text, some, lines, urls, links)
            spans.sort(key=lambda span: span.start)
        mentions = {extent.start for extent in extents if judge.is_mention(extent.url)} if targets else set[int]()
        return TextLinks(spans, urls, mentions, decided, decider.counted)

    def _read_lone(self, text: str, lone: Extent, judge: Judge) -> TextLinks:
        """The same of a text that is known to hold one URL, and nothing else that can be a link."""
        start, end, url, _ = lone
        urls = [(start, end)]
        decider = _Decider(self._policy, self._table, judge, Lines(text, urls, self._live))
        span = decider.span(url, text[start:end], start, end)
        return TextLinks([span] if span else [], urls, set(), [], decider.counted)


class _Decider:
    """Decides the URLs of one text and notes which of them count, and which are cues for codes."""

    def __init__(self, policy: Policy, table: HostTable, judge: Judge, lines: Lines) -> None:
        self._policy = policy
        self._table = table
        self._judge = judge
        self._lines = lines
        self.counted: list[str] = []
        self.short_links: list[int] = []

    def span(self, url: Url, written: str, start: int, end: int) -> Span | None:
        """The span of one URL, or None where it is not ours."""
        verdict = self._judge.verdict(url, written)
        if verdict is None:
            return None
        rule = verdict.rule
        if rule.is_code_cue:
            self.short_links.append(start)
        if rule.counted:
            self.counted.append(self._table.root(verdict.host) or verdict.host)
        if rule.decision is None:
            return None
        return decided_span(
            start,
            end,
            rule,
            kind=verdict.kind,
            host=verdict.host,
            reason=verdict.reason,
            live_cue=self._live_cue(start) if rule.beside_live_cue else None,
            placeholder=self._policy.placeholder,
            fields=lambda: link_fields(
                platform=rule.platform,
                kind=verdict.kind,
                host=verdict.url.host,
                rest=verdict.url.rest,
                url=written,
            ),
        )

    def _live_cue(self, position: int) -> str | None:
        self._lines.move_to(position)
        return self._lines.live_cue()
