"""Checks of a whole policy: what it writes must not be a link in scope again."""

from collections.abc import Iterator
from typing import Final

from cleanup.links.finder import Finder
from cleanup.links.rules import HostMatch, KindRule, Policy
from cleanup.links.templates import FIELDS
from cleanup.vocabulary import ColumnFormat, Decision

# What stands at the edge of a placeholder must not grow into a URL or a code beside it.
_GLUES_ON: Final = frozenset("-._~:/?#@!$&'()*+,;=%")
_NUMBER: Final = "612345678901"


def check_results(policy: Policy) -> Iterator[tuple[str, str]]:
    """Place and problem of each placeholder or template whose result is not clean."""
    finder = Finder(policy)
    yield from _check_edges(policy)
    for what in _links_in(finder, policy.placeholder):
        yield "placeholder", what
    for cue in _cues_in(policy, policy.placeholder):
        yield "placeholder", f"holds the cue {cue!r}, so a second pass would decide otherwise"
    for rule in policy.rules:
        yield from _check_template(finder, policy, rule)


def _check_template(finder: Finder, policy: Policy, rule: KindRule) -> Iterator[tuple[str, str]]:
    if rule.template is None:
        return
    for sample in _samples(policy, rule):
        filled = rule.template.fill(sample) or ""
        for what in _links_in(finder, filled):
            yield rule.key.rpartition(".")[0] + ".template", f"gives {filled!r}, which {what}"
            return


def _check_edges(policy: Policy) -> Iterator[tuple[str, str]]:
    placeholder = policy.placeholder
    for edge in {placeholder[:1], placeholder[-1:]}:
        if edge in _GLUES_ON or (edge.isascii() and edge.isalnum()) or edge.isspace():
            yield "placeholder", f"is {placeholder!r}; {edge!r} at its edge does not end a URL"


def _links_in(finder: Finder, text: str) -> Iterator[str]:
    for column_format in (ColumnFormat.TEXT, ColumnFormat.HTML, ColumnFormat.MARKDOWN):
        spans = [span for span in finder.find(text, column_format).spans if span.decision is not Decision.KEEP]
        if spans:
            yield f"holds a link in scope ({spans[0].platform} {spans[0].kind})"
            return


def _cues_in(policy: Policy, text: str) -> Iterator[str]:
    folded = text.casefold()
    for rule in policy.share_codes:
        for cue in (*rule.cues, *rule.copying_cues):
            if cue.casefold() in folded:
                yield cue


def _samples(policy: Policy, rule: KindRule) -> Iterator[dict[str, str]]:
    """What a link of the rule offers its template, for each host and scheme of the rule."""
    values = dict.fromkeys(FIELDS, "x") | {"platform": rule.platform, "kind": rule.kind, "item_id": _NUMBER}
    for entry in policy.hosts:
        if entry.kind.key == rule.key:
            host = f"x.{entry.host}" if entry.match is HostMatch.ONE_LABEL else entry.host
            path = entry.path + (_NUMBER if entry.digits or entry.path.endswith("/") else "")
            url = f"https://{host}{path}?id={_NUMBER}"
            yield values | {"host": host, "path": path or "/", "query": f"id={_NUMBER}", "url": url}
    for scheme in policy.schemes:
        if scheme.kind.key == rule.key:
            yield values | {"host": f"{scheme.scheme}:", "url": f"{scheme.scheme}://{scheme.target}"}
