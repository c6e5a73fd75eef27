"""What our runs did to the links of one value since one of them changed it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cleanup.db.change_log import NULL_HASH, LogRow
from cleanup.db.selection import Selection
from cleanup.engine.verdicts import Outcome
from cleanup.links.edits import Edit
from cleanup.links.logged_edits import LoggedEdit, decode_logged
from cleanup.links.words import Words


@dataclass(frozen=True, slots=True)
class WrittenLink:
    """A link as the newest of our runs that touched it left it."""

    row: LogRow
    logged: LoggedEdit

    @property
    def edit(self) -> Edit:
        """The edit that put there what stands there now."""
        return self.logged.edit


class LinkHistory:
    """The links of a log row, and which of our later runs wrote each of them last."""

    def __init__(
        self, item: LogRow, later: Sequence[LogRow], family: frozenset[int], words: Mapping[int, Words]
    ) -> None:
        self._item = item
        self._later = list(later)
        self._family = family
        self._words = words
        first = decode_logged(item.edits, words[item.run_id])
        self._first = {logged.edit.number: logged.edit for logged in first}
        self._last = {logged.edit.number: WrittenLink(item, logged) for logged in first}
        self._others_touched = False
        for row in self._later:
            self._follow(row)

    def wanted(self, selection: Selection) -> set[int]:
        """The numbers of the links that a selection asks for."""
        return {number for number, edit in self._first.items() if selection.covers(edit.label)}

    @property
    def is_null_now(self) -> bool:
        """Whether the newest of our runs left NULL."""
        return (self._later[-1] if self._later else self._item).hash_after == NULL_HASH

    def leads_to(self, present: bytes) -> bool:
        """Whether nobody but us has written the value since the log row."""
        rows = [self._item, *self._later]
        return rows[-1].hash_after == present and all(
            before.hash_after == after.hash_before for before, after in pairwise(rows)
        )

    def standing(self) -> list[WrittenLink]:
        """The links that are still as the log row left them, by number."""
        return [
            link
            for number, link in sorted(self._last.items())
            if link.edit.inserted == self._first[number].inserted and link.edit.removed == self._first[number].removed
        ]

    def differing(self) -> list[int]:
        """The links of which the log says something that fits neither state: neither put there nor given back."""
        return [
            number
            for number, link in sorted(self._last.items())
            if {link.edit.inserted, link.edit.removed} != {self._first[number].inserted, self._first[number].removed}
        ]

    def standing_by_row(self) -> Iterator[tuple[LogRow, list[WrittenLink]]]:
        """The standing links by the row that wrote them last, each group ascending in that row's text."""
        groups: dict[int, list[WrittenLink]] = {}
        for link in self.standing():
            groups.setdefault(link.row.run_id, []).append(link)
        for links in groups.values():
            yield links[0].row, sorted(links, key=lambda link: link.edit.start)

    def rows_after(self, row: LogRow) -> list[LogRow]:
        """What our runs did to the value after that row."""
        if row is self._item:
            return self._later
        return self._later[self._later.index(row) + 1 :]

    def would_be_undone(self, edits: Sequence[Edit]) -> bool:
        """Whether, with these links back, nothing of ours is left in the value since the log row."""
        back = {edit.number for edit in edits}
        return not self._others_touched and all(link.edit.number in back for link in self.standing())

    def _follow(self, row: LogRow) -> None:
        """Note which of the links a later row wrote, and whether it wrote anything else."""
        if not self._is_kin(row):
            self._others_touched = True
            return
        for logged in decode_logged(row.edits, self._words[row.run_id]):
            if logged.edit.number in self._last:
                self._last[logged.edit.number] = WrittenLink(row, logged)
            else:
                self._others_touched = True

    def _is_kin(self, row: LogRow) -> bool:
        # What a trigger made of a text has one edit from end to end, which is none of the links.
        return (
            row.run_id in self._family
            and row.finding_number == self._item.finding_number
            and row.outcome != Outcome.ALTERED_BY_TRIGGER.value
        )
