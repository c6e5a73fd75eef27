"""Spans that a person has decided: how they are told from those that the policy decided by itself."""

from collections.abc import Iterable
from typing import Final

from cleanup.links.spans import Span
from cleanup.vocabulary import Decision

# Stands before the policy's reason in the plan, so that reports and digests tell a person's decisions apart.
_REVIEWED: Final = "decided in review: "


def kept(span: Span) -> Span:
    """The span as a person keeps it."""
    return span._replace(decision=Decision.KEEP, reason=_REVIEWED + span.reason)


def redacted(span: Span, by_policy: Span) -> Span:
    """The span as a person redacts it, with what the policy would have put there."""
    return span._replace(
        decision=Decision.REDACT,
        reason=_REVIEWED + span.reason,
        replacement=by_policy.replacement,
        children=by_policy.children,
    )


def any_reviewed(spans: Iterable[Span]) -> bool:
    """Whether a person has decided one of the spans."""
    return any(span.reason.startswith(_REVIEWED) for span in spans)
