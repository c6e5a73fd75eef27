"""One batch: lock and read, judge, write rows with log and checkpoint, commit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple

from cleanup.db.batch_exchange import (
    BatchRange,
    Ledgering,
    LinkConflict,
    Opening,
    RowRefused,
    RowWrite,
    UnchangedFinding,
)
from cleanup.db.batch_session import BatchSession
from cleanup.db.batches import Settlement
from cleanup.db.change_log import LogEntry
from cleanup.db.keys import Key
from cleanup.db.tables import Fingerprint
from cleanup.db.targets import Target
from cleanup.engine.chain import BatchContent, rows_hash, seal
from cleanup.engine.log_entries import LogWriter, Written
from cleanup.engine.spans import value_hash
from cleanup.engine.verdicts import Change, Judge, Outcome, SomeItem, Verdict
from cleanup.errors import InvariantBroken, PlanStale
from cleanup.links.edits import Edit, invert
from cleanup.links.words import Words


class Row(NamedTuple, Generic[SomeItem]):
    """The items of one row: it is locked, read and written once."""

    key: Key
    items: tuple[SomeItem, ...]


@dataclass(frozen=True, slots=True)
class BatchPlace:
    """What a batch's chain and log rows say of where they belong."""

    run_id: int
    run_pass: int
    words: Words
    last_pass: bool


@dataclass(slots=True)
class _Tally(Generic[SomeItem]):
    outcomes: Counter[str] = field(default_factory=Counter)
    spans: Counter[str] = field(default_factory=Counter)
    edited: int = 0
    unchanged: list[UnchangedFinding] = field(default_factory=list)
    deferred: list[int] = field(default_factory=list)
    conflicts: list[LinkConflict] = field(default_factory=list)
    changes: "list[_Changed[SomeItem]]" = field(default_factory=list)


class _Changed(NamedTuple, Generic[SomeItem]):
    """An item whose value changes."""

    item: SomeItem
    verdict: Verdict
    change: Change


def rows_of(items: Sequence[SomeItem]) -> list[Row[SomeItem]]:
    """Neighbouring items of one key as one row."""
    rows: list[Row[SomeItem]] = []
    for item in items:
        if rows and rows[-1].key == item.key:
            rows[-1] = Row(item.key, (*rows[-1].items, item))
        else:
            rows.append(Row(item.key, (item,)))
    return rows


class Batch(Generic[SomeItem]):
    """The work on one batch's rows, between the two round trips of its session."""

    def __init__(
        self,
        place: BatchPlace,
        target: Target,
        planned: Fingerprint,
        judge: Judge[SomeItem],
        rows: Sequence[Row[SomeItem]],
    ) -> None:
        self._last_pass = place.last_pass
        self._target = target
        self._planned = planned
        self._judge = judge
        self._rows = rows
        self._log = LogWriter(place.run_id, place.run_pass, place.words)

    def run(self, session: BatchSession, *, one_by_one: bool) -> Settlement:
        """Do the batch and commit it; raise what the session raises, and PlanStale where the table has changed."""
        opening = session.open([row.key for row in self._rows])
        self._require_same_table(opening.fingerprint)
        tally = self._judge_all(opening)
        if one_by_one:
            written = self._write_one_by_one(session, tally)
            ledgering = self._ledgering(tally, self._log.chained(written, opening.locked_at), session.batch)
            session.commit_ledger(ledgering)
        else:
            written = [(one.item, one.change, one.verdict.outcome) for one in tally.changes]
            self._count_changes(tally)
            ledgering = self._ledgering(tally, self._log.chained(written, opening.locked_at), session.batch)
            session.commit_together(self._writes(tally), ledgering)
        return ledgering.settlement

    def refuse(self, session: BatchSession, detail: str) -> Settlement:
        """Leave every item as it is, with that detail, and commit that: no attempt to write them came to its end."""
        opening = session.open([])
        self._require_same_table(opening.fingerprint)
        tally: _Tally[SomeItem] = _Tally()
        for row in self._rows:
            for item in row.items:
                self._note_refused(tally, item, detail)
        ledgering = self._ledgering(tally, ([], rows_hash([])), session.batch)
        session.commit_ledger(ledgering)
        return ledgering.settlement

    def _require_same_table(self, present: Fingerprint | None) -> None:
        if present != self._planned:
            raise PlanStale(
                f"{self._target.leaf.full_name} has changed since the plan: {difference(self._planned, present)}",
                hint="nothing of this batch was written; make a new plan and have it approved.",
            )

    def _judge_all(self, opening: Opening) -> _Tally[SomeItem]:
        tally: _Tally[SomeItem] = _Tally()
        for place, row in enumerate(self._rows):
            locked = opening.rows.get(place)
            for item in row.items:
                if locked is not None:
                    self._note(tally, item, self._judge.judge(item, locked))
                elif place not in opening.missing_but_there:
                    self._note(tally, item, Verdict(Outcome.ROW_GONE, spans=self._all_spans(item, Outcome.ROW_GONE)))
                elif self._last_pass:
                    self._note(
                        tally, item, Verdict(Outcome.LOCKED_OUT, spans=self._all_spans(item, Outcome.LOCKED_OUT))
                    )
                else:
                    tally.deferred.append(item.finding_number)
        return tally

    def _all_spans(self, item: SomeItem, outcome: Outcome) -> dict[str, int]:
        return {outcome.value: self._judge.span_count(item)}

    def _note(self, tally: _Tally[SomeItem], item: SomeItem, verdict: Verdict) -> None:
        tally.edited += verdict.edited
        tally.conflicts += [
            LinkConflict(item.finding_number, conflict.link_number, conflict.reason.value)
            for conflict in verdict.conflicts
        ]
        if verdict.change is None:
            _count(tally, verdict.outcome, verdict.spans)
            tally.unchanged.append(UnchangedFinding(item.finding_number, verdict.outcome.value, verdict.detail))
            return
        change = verdict.change
        if invert(change.after or "", change.edits) != (change.before or ""):
            raise InvariantBroken(
                f"finding {item.finding_number} could not be undone in memory",
                hint="nothing of this batch was written; report this with the finding's number.",
            )
        tally.changes.append(_Changed(item, verdict, change))

    def _count_changes(self, tally: _Tally[SomeItem]) -> None:
        for one in tally.changes:
            _count(tally, one.verdict.outcome, one.verdict.spans)

    def _writes(self, tally: _Tally[SomeItem]) -> list[RowWrite]:
        writes: dict[Key, dict[int, tuple[str | None, bytes | None]]] = {}
        for one in tally.changes:
            expected = None if one.change.after is None else one.change.hash_after
            writes.setdefault(one.item.key, {})[one.item.column_number] = (one.change.after, expected)
        return [RowWrite(key, values) for key, values in writes.items()]

    def _write_one_by_one(self, session: BatchSession, tally: _Tally[SomeItem]) -> list[Written[SomeItem]]:
        by_key: dict[Key, list[_Changed[SomeItem]]] = {}
        for one in tally.changes:
            by_key.setdefault(one.item.key, []).append(one)
        written: list[Written[SomeItem]] = []
        for write in self._writes(tally):
            result = session.write_alone(write)
            for one in by_key[write.key]:
                item, verdict, change = one.item, one.verdict, one.change
                if isinstance(result, RowRefused):
                    self._note_refused(tally, item, result.detail)
                    continue
                found = result[item.column_number]
                if found == change.before:
                    self._note_refused(tally, item, "a trigger put the old text back")
                    continue
                if found == change.after:
                    outcome, made, spans = verdict.outcome, change, verdict.spans
                else:
                    outcome, made = Outcome.ALTERED_BY_TRIGGER, _change_between(change.before, found)
                    spans = {outcome.value: sum(verdict.spans.values())}
                _count(tally, outcome, spans)
                written.append((item, made, outcome))
        return written

    def _note_refused(self, tally: _Tally[SomeItem], item: SomeItem, detail: str) -> None:
        spans = self._all_spans(item, Outcome.REFUSED_BY_DATABASE)
        self._note(tally, item, Verdict(Outcome.REFUSED_BY_DATABASE, detail=detail, spans=spans))

    def _ledgering(
        self, tally: _Tally[SomeItem], logged: tuple[list[LogEntry], bytes], covered: BatchRange
    ) -> Ledgering:
        entries, entries_hash = logged
        outcomes, spans = dict(tally.outcomes), dict(tally.spans)
        content = BatchContent(
            run_id=covered.run_id,
            run_pass=covered.chunk.run_pass,
            after_number=covered.after_number,
            through_number=covered.through_number,
            chunk_number=covered.chunk.chunk_number,
            attempt=covered.chunk.attempt,
            lane=covered.lane,
            findings=covered.findings,
            outcomes=outcomes,
            span_outcomes=spans,
            edited=tally.edited,
            log_rows=len(entries),
            unchanged=[(one.finding_number, one.outcome, one.detail) for one in tally.unchanged],
            conflicts=[(one.finding_number, one.link_number, one.reason) for one in tally.conflicts],
            deferred=tally.deferred,
        )
        head = seal(entries_hash, content)
        settlement = Settlement(outcomes, spans, tally.edited, len(entries), head)
        return Ledgering(entries, tally.unchanged, tally.deferred, tally.conflicts, settlement)


def _count(tally: _Tally[SomeItem], outcome: Outcome, spans: Mapping[str, int]) -> None:
    tally.outcomes[outcome.value] += 1
    for name, number in spans.items():
        tally.spans[name] += number


def _change_between(before: str | None, after: str | None) -> Change:
    """One edit from a text to another: between what they begin with and what they end with."""
    left, right = before or "", after or ""
    start = _shared(left, right)
    end = _shared(left[start:][::-1], right[start:][::-1])
    edit = Edit(start, left[start : len(left) - end], right[start : len(right) - end])
    return Change(before, after, (edit,), value_hash(before), value_hash(after))


def _shared(left: str, right: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(left), len(right)))


def difference(planned: Fingerprint, present: Fingerprint | None) -> str:
    """What differs between two fingerprints, in a line for a person."""
    if present is None:
        return "it is gone"
    parts: list[str] = []
    for part in sorted(planned.keys() | present.keys()):
        before, after = planned.get(part), present.get(part)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
            parts += [f"{part}.{name}: {before.get(name)!r} then, {after.get(name)!r} now" for name in names]
        else:
            parts.append(f"{part}: {before!r} then, {after!r} now")
    return "; ".join(parts) or "nothing that can be named"
