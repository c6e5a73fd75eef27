"""What one URL is under the policy: its rule, seen through wrappers, deep links and the resolution map."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from cleanup.links.host_table import HostTable
from cleanup.links.rules import KindRule, ThroughDeepLink
from cleanup.links.urls import Url, whole_url
from cleanup.links.wrappers import inner_links
from cleanup.vocabulary import Decision

# A resolution map may lead from one short link to another; a circle must end.
_MOST_HOPS: Final = 5
_STRICTNESS: Final = {Decision.REDACT: 3, Decision.REWRITE: 3, Decision.REVIEW: 2, Decision.KEEP: 1, None: 0}


def strictness(decision: Decision | None) -> int:
    """Higher where the decision is stricter: redact and rewrite, then review, then keep."""
    return _STRICTNESS[decision]


class Verdict(NamedTuple):
    """What the policy says of one URL before its line is looked at.

    `url` is the link that decided (the inner one of a wrapper, the target of a short link); `host`
    is that of the link as it stands in the text.
    """

    rule: KindRule
    kind: str
    reason: str
    host: str
    url: Url


class Judge:
    """Decides URLs for one policy and one resolution map."""

    def __init__(self, table: HostTable, resolution: Mapping[str, str]) -> None:
        self._table = table
        self._resolution = resolution

    def verdict(self, url: Url, written: str) -> Verdict | None:
        """The verdict on a URL, or None where it is not ours; `written` is how the text spells it."""
        own = self._own(url, written)
        if own is not None and not own.rule.looks_inside:
            return own
        # An app's own links hide nothing, but for those that the policy names as wrappers.
        if url.is_web or (own is not None and (own.rule.is_wrapper or not url.scheme)):
            inner = self._strictest_inner(url)
            if inner is not None:
                outer = _shown_host(url)
                return inner._replace(kind="wrapped", reason=f"wrapper around: {inner.reason}", host=outer)
        return own

    def rule(self, url: Url, written: str) -> KindRule | None:
        """The rule that decides this URL or counts it."""
        verdict = self.verdict(url, written)
        if verdict is None or (verdict.rule.decision is None and not verdict.rule.counted):
            return None
        return verdict.rule

    def is_mention(self, url: Url) -> bool:
        """Whether a URL only names a host of ours whose links need a path."""
        rule = self._row(url)
        return rule is not None and _lacks_path(rule, url)

    def lookups(self, url: Url, written: str) -> Iterator[str]:
        """The spellings under which the resolution map may know this URL, or a URL that it hides."""
        hidden = ((whole_url(inner), inner) for inner in inner_links(url.target))
        for link, spelling in ((url, written), *hidden):
            rule = self._row(link) if link else None
            if link and rule and rule.looked_up and not _lacks_path(rule, link):
                yield spelling
                yield normal_form(link)

    def _own(self, url: Url, written: str, hops: int = 0) -> Verdict | None:
        rule = self._row(url)
        if rule is None or _lacks_path(rule, url):
            return None
        if rule.looked_up and hops < _MOST_HOPS and (target := self._target(url, written)) is not None:
            found = self._own(target, normal_form(target), hops + 1)
            if found is None:
                return None
            return found._replace(reason=f"{rule.label} that leads to: {found.reason}", host=_shown_host(url))
        verdict = Verdict(rule, rule.kind, rule.reason, _shown_host(url), url)
        return self._through_deep_link(verdict) if rule.follows_target else verdict

    def _row(self, url: Url) -> KindRule | None:
        if url.scheme and not url.is_web:
            return self._table.scheme_rule(url.scheme, url.target)
        found = self._table.host_rule(url.host, url.rest)
        return found.kind if found else None

    def _target(self, url: Url, written: str) -> Url | None:
        target = self._resolution.get(written) or self._resolution.get(normal_form(url))
        return whole_url(target) if target else None

    def _strictest_inner(self, url: Url) -> Verdict | None:
        strictest: Verdict | None = None
        for inner in self._inner(url):
            if strictest is None or strictness(inner.rule.decision) > strictness(strictest.rule.decision):
                strictest = inner
        return strictest

    def _inner(self, url: Url) -> Iterator[Verdict]:
        for written in inner_links(url.target):
            inner = whole_url(written)
            verdict = self._own(inner, written) if inner else None
            if verdict is not None and verdict.rule.decision is not None:
                yield verdict

    def _through_deep_link(self, verdict: Verdict) -> Verdict:
        opened = self._opened(verdict.url)
        if opened is None:
            return verdict
        if opened.rule.through_deep_link is ThroughDeepLink.KIND:
            return opened._replace(host=verdict.host)
        row = opened.rule
        rule = replace(
            verdict.rule,
            decision=row.decision,
            template=row.template,
            beside_live_cue=row.beside_live_cue,
            is_code_cue=row.is_code_cue,
        )
        return verdict._replace(rule=rule, url=opened.url)

    def _opened(self, url: Url) -> Verdict | None:
        """The live or short link that a deep link opens, where it opens nothing else."""
        address = Url("", url.authority, url.rest)
        direct = self._own(address, address.target)
        if direct is not None and direct.rule.through_deep_link is not ThroughDeepLink.NOTHING:
            return direct
        inner = list(self._inner(url))
        if not inner or any(found.rule.through_deep_link is ThroughDeepLink.NOTHING for found in inner):
            return None
        return max(inner, key=lambda found: strictness(found.rule.decision))


def normal_form(url: Url) -> str:
    """A URL as the resolution map may spell it: with scheme, host in lower case, no fragment."""
    return f"{url.scheme or 'https'}://{url.host}{url.rest.partition('#')[0]}"


def _shown_host(url: Url) -> str:
    return f"{url.scheme}:" if url.scheme and not url.is_web else url.host


def _lacks_path(rule: KindRule, url: Url) -> bool:
    return rule.needs_path and url.rest.partition("?")[0].partition("#")[0] in ("", "/")
