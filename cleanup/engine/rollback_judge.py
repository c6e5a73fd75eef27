"""Rolling one value back: each link to its place where that is certain, else a conflict and never a guess.

Three texts meet here: what stood there before, what our run made of it, and what stands there now. The log has
the difference of the first two. Where nobody but us has written since, places are computed; where an author
has, they are found again by what stands around them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from cleanup.db.batch_exchange import LockedRow
from cleanup.db.change_log import NULL_HASH, LogRow
from cleanup.db.selection import Selection
from cleanup.db.tables import TextColumn
from cleanup.engine.link_history import LinkHistory, WrittenLink
from cleanup.engine.spans import value_hash
from cleanup.engine.verdicts import Change, Conflict, ConflictReason, Outcome, Verdict
from cleanup.links.edits import Edit, EditMismatch, invert, shift, swap
from cleanup.links.logged_edits import decode_edits
from cleanup.links.placing import Unplaced, place_edits
from cleanup.links.words import Words
from cleanup.vocabulary import ColumnFormat

_Places = dict[int, "Edit | ConflictReason"]


class RollbackJudge:
    """Judges log rows of the run that is undone.

    `later` has what runs of ours did to the same values since, by finding number, and `family` the runs of the same
    plan: the rollbacks among them name the links by the same numbers. `words` are those of each of these runs.
    """

    def __init__(
        self,
        columns: Sequence[TextColumn],
        selection: Selection,
        later: Mapping[int, Sequence[LogRow]],
        family: frozenset[int],
        words: Mapping[int, Words],
    ) -> None:
        self._columns = {column.number: column for column in columns}
        self._selection = selection
        self._later = later
        self._family = family
        self._words = words

    def judge(self, item: LogRow, row: LockedRow) -> Verdict:
        """What becomes of the logged value, given the row as it is now."""
        text = row.texts[item.column_number]
        present = value_hash(text)
        later = self._later.get(item.finding_number, ())
        if not later and present == item.hash_after != item.hash_before:
            return self._undisturbed(item, text, present)
        history = LinkHistory(item, later, self._family, self._words)
        wanted = history.wanted(self._selection)
        if present == item.hash_before:
            return Verdict(Outcome.ALREADY_RESTORED, spans={Outcome.ALREADY_RESTORED.value: len(wanted)})
        standing = [link for link in history.standing() if link.edit.number in wanted]
        differing = [number for number in history.differing() if number in wanted]
        edited = not history.leads_to(present)
        if text is None and not history.is_null_now:
            places: _Places = dict.fromkeys((link.edit.number for link in standing), ConflictReason.VALUE_IS_NULL)
        else:
            places = self._places(text or "", present, history)
            places = {link.edit.number: places[link.edit.number] for link in standing}
        places |= dict.fromkeys(differing, ConflictReason.LOG_DIFFERS)
        already = len(wanted) - len(places)
        undone = history.would_be_undone([place for place in places.values() if isinstance(place, Edit)])
        return self._verdict(item, text, present, places, already, undone=undone, edited=edited)

    def _undisturbed(self, item: LogRow, text: str | None, present: bytes) -> Verdict:
        """The value as the run left it, as nearly every one is: each link stands where the log says."""
        edits = decode_edits(item.edits, self._words[item.run_id])
        places: _Places = {edit.number: edit for edit in edits if self._selection.covers(edit.label)}
        return self._verdict(item, text, present, places, 0, undone=len(places) == len(edits), edited=False)

    def _places(self, text: str, present: bytes, history: LinkHistory) -> _Places:
        """Where each link of the value stands that is to be put back, or why that is not certain."""
        places: _Places = {}
        lost: list[WrittenLink] = []
        for written_by, links in history.standing_by_row():
            later = history.rows_after(written_by)
            if _is_unbroken([written_by, *later], present):
                edits = [link.edit for link in links]
                shifted = shift(edits, [decode_edits(row.edits, self._words[row.run_id]) for row in later])
                for edit, moved in zip(edits, shifted, strict=True):
                    places[edit.number] = moved if moved is not None else ConflictReason.OVERWRITTEN
            else:
                lost += links
        lost.sort(key=lambda link: link.edit.number)
        taken = [(edit.start, edit.end) for edit in places.values() if isinstance(edit, Edit)]
        for link, spot in zip(lost, place_edits(text, [link.logged for link in lost]), strict=True):
            places[link.edit.number] = _found(link.edit, spot, taken)
        return places

    def span_count(self, item: LogRow) -> int:
        """How many links of the log row are to go back."""
        return sum(self._selection.covers(edit.label) for edit in decode_edits(item.edits, self._words[item.run_id]))

    def _verdict(
        self,
        item: LogRow,
        text: str | None,
        present: bytes,
        places: _Places,
        already: int,
        *,
        undone: bool,
        edited: bool,
    ) -> Verdict:
        edits = sorted((place for place in places.values() if isinstance(place, Edit)), key=lambda edit: edit.start)
        change: Change | None = None
        if edits:
            problem, change = self._change(item, text, present, edits, undone=undone, edited=edited)
            if problem is not None:
                places = {number: problem if isinstance(place, Edit) else place for number, place in places.items()}
        conflicts = tuple(
            Conflict(number, place) for number, place in sorted(places.items()) if isinstance(place, ConflictReason)
        )
        restored = len(places) - len(conflicts)
        counts = {
            Outcome.RESTORED.value: restored,
            Outcome.CONFLICT.value: len(conflicts),
            Outcome.ALREADY_RESTORED.value: already,
        }
        return Verdict(
            _outcome(restored, len(conflicts), edited=edited),
            change if restored else None,
            edited=edited,
            spans={outcome: number for outcome, number in counts.items() if number},
            conflicts=conflicts,
        )

    def _change(
        self,
        item: LogRow,
        text: str | None,
        present: bytes,
        edits: Sequence[Edit],
        *,
        undone: bool,
        edited: bool,
    ) -> tuple[ConflictReason | None, Change | None]:
        """The change that puts these links back, or why it must not be made; `undone` where it undoes all of ours."""
        try:
            before = invert(text or "", edits)
        except EditMismatch:
            return ConflictReason.LOG_DIFFERS, None
        after = None if item.hash_before == NULL_HASH and not before else before
        hash_after = value_hash(after)
        if not edited and undone and hash_after != item.hash_before:
            return ConflictReason.LOG_DIFFERS, None
        column = self._columns[item.column_number]
        if edited and column.format is ColumnFormat.JSON and _is_json(text) and not _is_json(after):
            return ConflictReason.WOULD_BREAK_JSON, None
        return None, Change(text, after, swap(edits), present, hash_after)


def _found(edit: Edit, spot: int | Unplaced, taken: Iterable[tuple[int, int]]) -> Edit | ConflictReason:
    if isinstance(spot, Unplaced):
        return ConflictReason(spot.value)
    end = spot + len(edit.inserted)
    if any(spot < other_end and other_start < end for other_start, other_end in taken):
        return ConflictReason.NOT_UNIQUE
    return edit.at(spot)


def _is_unbroken(rows: Sequence[LogRow], present: bytes) -> bool:
    """Whether nobody but us wrote the value since the first of these rows."""
    return rows[-1].hash_after == present and all(
        before.hash_after == after.hash_before for before, after in pairwise(rows)
    )


def _outcome(restored: int, conflicts: int, *, edited: bool) -> Outcome:
    if restored and conflicts:
        return Outcome.RESTORED_IN_PART
    if restored:
        return Outcome.RESTORED_AFTER_EDIT if edited else Outcome.RESTORED
    return Outcome.CONFLICT if conflicts else Outcome.ALREADY_RESTORED


def _is_json(text: str | None) -> bool:
    try:
        json.loads(text or "")
    except (ValueError, RecursionError):
        return False
    return True
