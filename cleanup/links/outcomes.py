"""From a decision to a span: what takes its place, and what happens where a template lacks a field."""

from collections.abc import Callable, Mapping
from typing import Final

from cleanup.links.rules import KindRule
from cleanup.links.spans import Span
from cleanup.vocabulary import Decision

_LACKS_FIELD: Final = "the link lacks a field that the template needs"


def decided_span(
    start: int,
    end: int,
    rule: KindRule,
    *,
    kind: str,
    host: str,
    reason: str,
    live_cue: str | None,
    placeholder: str,
    fields: Callable[[], Mapping[str, str]],
) -> Span:
    """The span of one link whose rule is known; `fields` gives what a template can name."""
    decision = rule.decision or Decision.KEEP
    if live_cue and rule.beside_live_cue:
        decision, reason = rule.beside_live_cue, f"{rule.label} beside {live_cue}"
    replacement: str | None = None
    if decision is Decision.REDACT:
        replacement = placeholder
    elif decision is Decision.REWRITE:
        replacement = rule.template.fill(fields()) if rule.template else None
        if replacement is None:
            decision, reason = Decision.REVIEW, _LACKS_FIELD
    return Span(start, end, rule.platform, kind, decision, reason, host, replacement)
