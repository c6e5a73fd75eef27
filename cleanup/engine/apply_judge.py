"""Applying a plan to one value: the planned spans where the text is as planned, the policy anew where it is not."""

from collections.abc import Sequence
from typing import Final

from cleanup.db.batch_exchange import LockedRow
from cleanup.db.findings import Finding
from cleanup.db.tables import TextColumn
from cleanup.db.targets import Scope, Target
from cleanup.engine.matching import Matcher, change_of, refusal_of
from cleanup.engine.review_marks import any_reviewed
from cleanup.engine.spans import decode_spans, finding_hash, place_of, value_hash
from cleanup.engine.verdicts import Change, Outcome, Verdict
from cleanup.errors import DigestDiffers
from cleanup.links.spans import Span
from cleanup.links.words import Words
from cleanup.vocabulary import Decision

_AGAIN: Final = "a decision in review does not carry over to a text that was edited since"


class ApplyJudge:
    """Judges findings of one leaf."""

    def __init__(self, matcher: Matcher, target: Target, words: Words) -> None:
        self._matcher = matcher
        self._words = words
        self._table = target.table
        self._leaf_name = target.leaf.full_name
        self._columns = {column.number: column for column in target.table.columns}

    def judge(self, item: Finding, row: LockedRow) -> Verdict:
        """What becomes of the finding's value, given the row as it is now."""
        column = self._columns[item.column_number]
        if finding_hash(self._table.name, column.name, item) != item.finding_hash:
            raise DigestDiffers(
                f"the finding of {place_of(self._leaf_name, column.name, item.key)} is not the one that was signed",
                hint="the ledger was tampered with: keep it as evidence, and make a new plan.",
            )
        spans = decode_spans(item.spans, self._words)
        if row.scope is Scope.EXEMPT:
            return _left(Outcome.EXEMPT_NOW, spans)
        if row.scope is not Scope.HISTORICAL:
            return _left(Outcome.OUT_OF_SCOPE_NOW, spans)
        # The columns of a configured table are numbered in the order in which they are read.
        text = row.texts[item.column_number]
        if text is None:
            return _left(Outcome.ALREADY_CLEAN, spans, edited=True)
        hash_before = value_hash(text)
        if hash_before == item.value_hash:
            return _changed(Outcome.CHANGED, change_of(column, text, hash_before, spans), spans, edited=False)
        return self._judge_edited(column, text, hash_before, spans)

    def span_count(self, item: Finding) -> int:
        """How many spans of the finding the plan changes."""
        return sum(span.decision.changes_text for span in decode_spans(item.spans, self._words))

    def _judge_edited(self, column: TextColumn, text: str, hash_before: bytes, planned: Sequence[Span]) -> Verdict:
        (recognition,) = self._matcher.find([(column, text)])
        if recognition.problem is not None:
            return _left(Outcome.UNREADABLE_NOW, planned, edited=True, detail=recognition.problem)
        # A person has seen the planned text: what the policy leaves to one in today's text waits again.
        waiting = sum(span.decision is Decision.REVIEW for span in recognition.spans) if any_reviewed(planned) else 0
        if not any(span.decision.changes_text for span in recognition.spans):
            if waiting:
                return Verdict(Outcome.AWAITING_REVIEW, detail=_AGAIN, edited=True, spans=_waiting_again(waiting))
            return _left(Outcome.ALREADY_CLEAN, planned, edited=True)
        if refusal_of(column, recognition, lambda: text) is not None:
            return _left(
                Outcome.REFUSED_BY_DATABASE, planned, edited=True, detail="the result would not fit the column"
            )
        change = change_of(column, text, hash_before, recognition.spans)
        verdict = _changed(Outcome.CHANGED_AFTER_EDIT, change, recognition.spans, edited=True)
        return verdict._replace(spans={**verdict.spans, **_waiting_again(waiting)})


def _waiting_again(spans: int) -> dict[str, int]:
    return {Outcome.AWAITING_REVIEW.value: spans} if spans else {}


def _changed(outcome: Outcome, change: Change, spans: Sequence[Span], *, edited: bool) -> Verdict:
    return Verdict(outcome, change, edited=edited, spans=_span_outcomes(outcome, spans))


def _left(outcome: Outcome, planned: Sequence[Span], *, edited: bool = False, detail: str | None = None) -> Verdict:
    return Verdict(outcome, edited=edited, detail=detail, spans=_span_outcomes(outcome, planned))


def _span_outcomes(outcome: Outcome, spans: Sequence[Span]) -> dict[str, int]:
    # Spans beside the ones that are changed stay for their own reasons, whatever becomes of the value.
    changed = sum(span.decision.changes_text for span in spans)
    return {outcome.value: changed} if changed else {}
