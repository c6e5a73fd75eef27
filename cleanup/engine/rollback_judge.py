"""Rolling one value back: exactly where it still is what the run wrote, else a conflict and never a guess."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from cleanup.db.batch_session import LockedRow
from cleanup.db.change_log import NULL_HASH, LogRow
from cleanup.engine.spans import value_hash
from cleanup.engine.verdicts import Change, Outcome, Verdict
from cleanup.links.edits import Edit, EditMismatch, decode_edits, invert, shift, swap


class RollbackJudge:
    """Judges log rows of the run that is undone; `later` has what our own later runs did to the same values."""

    def __init__(self, later: Mapping[int, Sequence[LogRow]]) -> None:
        self._later = later

    def judge(self, item: LogRow, row: LockedRow) -> Verdict:
        """What becomes of the logged value, given the row as it is now."""
        text = row.texts[item.column_number]
        present = value_hash(text)
        edits = decode_edits(item.edits)
        if present == item.hash_before:
            return Verdict(Outcome.ALREADY_RESTORED, spans={Outcome.ALREADY_RESTORED.value: len(edits)})
        if text is None and item.hash_after != NULL_HASH:
            return _conflict(item, "the value is NULL now")
        if present != item.hash_after:
            shifted = self._through_later_runs(item, present, edits)
            if shifted is None:
                return _conflict(item, "an author edited the text after the run")
            return _restored(item, text, shifted)
        verdict = _restored(item, text, edits)
        if verdict.change is not None and value_hash(verdict.change.after) != item.hash_before:
            return _conflict(item, "the log row does not lead back to the text it says")
        return verdict

    def span_count(self, item: LogRow) -> int:
        """How many places the log row changed."""
        return len(decode_edits(item.edits))

    def _through_later_runs(self, item: LogRow, present: bytes, edits: Sequence[Edit]) -> Sequence[Edit] | None:
        later = self._later.get(item.value_id, ())
        if not later or later[-1].hash_after != present or later[0].hash_before != item.hash_after:
            return None
        for before, after in pairwise(later):
            if before.hash_after != after.hash_before:
                return None
        shifted = [edit for edit in shift(edits, [decode_edits(row.edits) for row in later]) if edit is not None]
        # A place that a later run of ours wrote over has to be given back by that run's own rollback first.
        return shifted if len(shifted) == len(edits) else None


def _restored(item: LogRow, text: str | None, edits: Sequence[Edit]) -> Verdict:
    try:
        before = invert(text or "", edits)
    except EditMismatch:
        return _conflict(item, "what the run put there is not at its place any more")
    if item.hash_before == NULL_HASH and not before:
        return Verdict(Outcome.RESTORED, Change(text, None, swap(edits)), spans={Outcome.RESTORED.value: len(edits)})
    return Verdict(Outcome.RESTORED, Change(text, before, swap(edits)), spans={Outcome.RESTORED.value: len(edits)})


def _conflict(item: LogRow, detail: str) -> Verdict:
    return Verdict(
        Outcome.CONFLICT, detail=detail, edited=True, spans={Outcome.CONFLICT.value: len(decode_edits(item.edits))}
    )
