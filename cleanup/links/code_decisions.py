"""What becomes of the share codes of a text: the cues and links on their lines decide."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cleanup.links.lines import Lines, Spellings
from cleanup.links.outcomes import decided_span
from cleanup.links.rules import KindRule, ShareCodeRule
from cleanup.links.scanner import UrlScanner
from cleanup.links.share_codes import ShareCode, ShareCodeScanner, Surroundings
from cleanup.links.spans import Span
from cleanup.links.templates import link_fields

_LONGEST_PATH: Final = 200
_HOST_AND_SLASH: Final = re.compile(r"[0-9A-Za-z]\.[A-Za-z]{2,}+(?::[0-9]++)?/")
_SHORT_LINK = "a short link"
_CHANGED_LINK = "a link that goes"


class LinksOnLines:
    """Where the links stand that say whose share codes are beside them."""

    def __init__(self, changed: Sequence[int], short: Sequence[int]) -> None:
        self._changed = sorted(changed)
        self._short = sorted(short)

    def has_short(self, lines: Lines) -> bool:
        """Whether a short link of the platform stands on the current line."""
        return _any_within(self._short, lines.start, lines.end)

    def cue(self, lines: Lines) -> str | None:
        """What the links on the current line say of the codes there, or None."""
        if self.has_short(lines):
            return _SHORT_LINK
        return _CHANGED_LINK if _any_within(self._changed, lines.start, lines.end) else None


@dataclass(frozen=True, slots=True)
class _LineFacts:
    cue: str | None
    copying: bool
    other_app: bool


class CodeReader:
    """Finds and decides the share codes of one rule."""

    def __init__(self, rule: ShareCodeRule, placeholder: str, urls: UrlScanner) -> None:
        self._rule = rule
        self._urls = urls
        self._placeholder = placeholder
        self._scanner = ShareCodeScanner(rule)
        self._cues = Spellings(rule.cues, rule.fillers)
        self._copying = Spellings(rule.copying_cues, rule.fillers)
        self._other_apps = Spellings(rule.other_app_cues, rule.fillers)

    def codes(self, text: str) -> list[ShareCode]:
        """What looks like a code, wherever it stands; most texts have none."""
        return list(self._scanner.scan(text))

    def read(
        self,
        text: str,
        codes: Sequence[ShareCode],
        lines: Lines,
        urls: Sequence[tuple[int, int]],
        links: LinksOnLines,
    ) -> list[Span]:
        """The spans of those codes that stand in no URL."""
        spans: list[Span] = []
        number = last_end = 0
        facts: _LineFacts | None = None
        for code in codes:
            while number < len(urls) and urls[number][1] <= code.start:
                number += 1
            if number < len(urls) and urls[number][0] < code.end:
                continue
            behind = max(last_end, urls[number - 1][1] if number else 0)
            if text[code.start] == "/" and _is_in_a_path(text, code.start, behind):
                continue
            last_end = code.end
            # Without the mark at the code's end, what follows must not be a link that only a second pass finds.
            if self._urls.is_held_back(text, code.end) and (number == len(urls) or urls[number][0] != code.end):
                continue
            if lines.move_to(code.start) or facts is None:
                facts = self._facts(lines, links)
            rule = self._rule_for(code, facts)
            if not facts.other_app and rule.decision is not None:
                spans.append(self._span(text, code, rule, facts.cue, lines.live_cue()))
        return spans

    def _facts(self, lines: Lines, links: LinksOnLines) -> _LineFacts:
        plain = self._cues.plain(lines.blanked())
        cue = links.cue(lines) or self._cues.first_in(plain)
        copying = links.has_short(lines) or self._copying.first_in(plain) is not None
        return _LineFacts(cue, copying, cue is None and self._other_apps.first_in(plain) is not None)

    def _span(self, text: str, code: ShareCode, rule: KindRule, cue: str | None, live_cue: str | None) -> Span:
        written = text[code.start : code.end]
        return decided_span(
            code.start,
            code.end,
            rule,
            kind=rule.kind,
            host="",
            reason=rule.reason.replace("{cue}", cue or ""),
            live_cue=live_cue,
            placeholder=self._placeholder,
            fields=lambda: link_fields(platform=rule.platform, kind=rule.kind, host="", rest="", url=written),
        )

    def _rule_for(self, code: ShareCode, facts: _LineFacts) -> KindRule:
        if code.surroundings is Surroundings.CURRENCY:
            return self._rule.strong
        # Brackets stand around many things, so there a word for copying must say that it is a code.
        beside = facts.cue is not None and (facts.copying or code.surroundings is not Surroundings.BRACKETS)
        return self._rule.weak_beside_cue if beside else self._rule.weak_without_cue


def _any_within(positions: Sequence[int], start: int, end: int) -> bool:
    number = bisect_left(positions, start)
    return number < len(positions) and positions[number] < max(end, start + 1)


def _is_in_a_path(text: str, slash: int, behind: int) -> bool:
    """Whether a slash stands behind a host, with or without a path: a URL that the policy need not know.

    A path goes no further back than `behind`, the last known URL or code: it is text again after those,
    now and once they are gone.
    """
    start = slash
    while start > max(behind, slash - _LONGEST_PATH) and "!" <= text[start - 1] <= "~":
        start -= 1
    return bool(_HOST_AND_SLASH.search(text, start, slash + 1))
