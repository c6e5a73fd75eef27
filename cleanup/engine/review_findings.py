"""A finding with a person's decisions: what the plan would have said of it, had the policy decided so."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cleanup.db.findings import Finding
from cleanup.db.reviews import ReviewDecision
from cleanup.db.targets import Scope
from cleanup.engine.matching import Matcher, refusal_of
from cleanup.engine.review_decisions import AwaitingSpan, Decided
from cleanup.engine.review_file import Problems
from cleanup.engine.review_marks import kept, redacted
from cleanup.engine.review_waiting import Waiting
from cleanup.engine.scan_counts import ScanCounts
from cleanup.engine.spans import encode_spans, finding_hash
from cleanup.links.spans import Recognition, Span
from cleanup.links.words import Words
from cleanup.vocabulary import Decision


@dataclass(frozen=True, slots=True)
class DecidedFinding:
    """A finding before and after a person's decisions on some of its spans."""

    before: Finding
    after: Finding
    spans_before: tuple[Span, ...]
    spans_after: tuple[Span, ...]
    column_name: str
    decisions: tuple[ReviewDecision, ...]

    def recount(self, counts: ScanCounts) -> None:
        """Move what was decided from one class of spans to another."""
        for before, after in zip(self.spans_before, self.spans_after, strict=True):
            counts.spans[self._class_of(before)] -= 1
            counts.spans[self._class_of(after)] += 1
        if self.before.refusal is not None:
            counts.refusals[self.before.refusal] -= 1
        if self.after.refusal is not None:
            counts.refusals[self.after.refusal] += 1

    def _class_of(self, span: Span) -> tuple[str, str, str, str, str, str]:
        scope = self.before.scope
        return (scope, self.column_name, span.platform, span.kind, span.decision.value, span.reason)


def decide_findings(
    page: Sequence[tuple[Waiting, Sequence[Decided]]], redacting: Matcher, words: Words, problems: Problems
) -> list[DecidedFinding]:
    """The findings of a page with their decisions; each waiting one has its text.

    What takes a link's place is what the finder puts there under a policy that says redact: so escapes, labels and
    empty columns are the format's own.
    """
    columns = [(decided[0].awaiting.column, waiting.text or "") for waiting, decided in page]
    found = redacting.find(columns)
    results = (_decide(*one, recognition, words, problems) for one, recognition in zip(page, found, strict=True))
    return [result for result in results if result is not None]


def _decide(
    waiting: Waiting, decided: Sequence[Decided], by_policy: Recognition, words: Words, problems: Problems
) -> DecidedFinding | None:
    spans = list(waiting.spans)
    replacements = {(span.start, span.end): span for span in by_policy.spans if span.decision is Decision.REDACT}
    for one in decided:
        span = one.awaiting.span
        if one.decision is Decision.KEEP:
            spans[one.awaiting.span_number] = kept(span)
        elif (put := replacements.get((span.start, span.end))) is not None:
            spans[one.awaiting.span_number] = redacted(span, put)
        else:
            problems.add(f"{_named(one.awaiting)}: the finder does not find this link any more", one.line)
            return None
    column, text = decided[0].awaiting.column, waiting.text or ""
    refusal = refusal_of(column, Recognition(tuple(spans)), lambda: text)
    if refusal is not None and waiting.finding.refusal is None:
        named = _named(decided[0].awaiting)
        problems.add(f"{named}: the result would not fit its column ({refusal})", *(one.line for one in decided))
        return None
    return _decided_finding(waiting, tuple(spans), refusal, decided, words)


def _decided_finding(
    waiting: Waiting, spans: tuple[Span, ...], refusal: str | None, decided: Sequence[Decided], words: Words
) -> DecidedFinding:
    before, column = waiting.finding, decided[0].awaiting.column
    changes = any(span.decision.changes_text for span in spans)
    unsigned = replace(
        before,
        refusal=refusal,
        actionable=refusal is None and before.scope == Scope.HISTORICAL.stored and changes,
        spans=encode_spans(spans, words),
    )
    after = replace(unsigned, finding_hash=finding_hash(waiting.target.table.name, column.name, unsigned))
    decisions = tuple(
        ReviewDecision(before.finding_number, one.awaiting.span_number, one.decision.value, one.line) for one in decided
    )
    return DecidedFinding(before, after, waiting.spans, spans, column.name, decisions)


def _named(awaiting: AwaitingSpan) -> str:
    return f"finding {awaiting.finding.finding_number}, span {awaiting.span_number}"
