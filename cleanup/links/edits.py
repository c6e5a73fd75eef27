"""Changing a text at its spans, and taking such a change back exactly: all in linear time."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cleanup.links.spans import Span


class EditMismatch(ValueError):
    """A text does not hold what an edit says it wrote there, or stored edits cannot be read."""


class Edit(NamedTuple):
    """One change: `start` counts code points to `inserted` in the text after the change.

    `number` is the link's among those of its value, and `label` its platform/kind/decision; both stay with the
    link through every rollback.
    """

    start: int
    removed: str
    inserted: str
    number: int = 0
    label: str = ""

    @property
    def end(self) -> int:
        """Where `inserted` ends in the text after the change."""
        return self.start + len(self.inserted)

    def at(self, start: int) -> "Edit":
        """The same edit at another place."""
        return Edit(start, self.removed, self.inserted, self.number, self.label)


class Splice(NamedTuple):
    """A changed text and the edits that led to it, ascending."""

    after: str
    edits: tuple[Edit, ...]


def splice(value: str, spans: Sequence[Span]) -> Splice:
    """Apply the spans whose decision changes text; they ascend and never overlap."""
    parts: list[str] = []
    edits: list[Edit] = []
    position = written = 0
    for span in spans:
        if not span.decision.changes_text or span.replacement is None:
            continue
        if span.start < position:
            raise EditMismatch(f"the span at {span.start} begins before the last one ends at {position}")
        parts += (value[position : span.start], span.replacement)
        written += span.start - position
        removed = value[span.start : span.end]
        edits.append(Edit(written, removed, span.replacement, len(edits), span.label))
        written += len(span.replacement)
        position = span.end
    parts.append(value[position:])
    return Splice("".join(parts), tuple(edits))


def invert(after: str, edits: Sequence[Edit]) -> str:
    """The text before the edits; EditMismatch where an inserted text is not at its place."""
    parts: list[str] = []
    position = 0
    for edit in edits:
        if edit.start < position or not after.startswith(edit.inserted, edit.start) or edit.end > len(after):
            raise EditMismatch(f"the text inserted at {edit.start} is not there any more")
        parts += (after[position : edit.start], edit.removed)
        position = edit.end
    parts.append(after[position:])
    return "".join(parts)


def swap(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """The edits that take the text after back to the text before, as a change of its own."""
    swapped = []
    grown = 0
    for edit in edits:
        swapped.append(Edit(edit.start + grown, edit.inserted, edit.removed, edit.number, edit.label))
        grown += len(edit.removed) - len(edit.inserted)
    return tuple(swapped)


def shift(edits: Sequence[Edit], later: Sequence[Sequence[Edit]]) -> tuple[Edit | None, ...]:
    """Where each edit's inserted text lies once later changes were applied on top, oldest first.

    None stands for an edit whose inserted text a later change overlaps.
    """
    shifted: list[Edit | None] = list(edits)
    for change in later:
        shifted = list(_shift_once(shifted, change))
    return tuple(shifted)


def _shift_once(edits: Sequence[Edit | None], change: Sequence[Edit]) -> Iterator[Edit | None]:
    """Move ascending edits past one later change, in one pass over both."""
    number = grown = 0
    for edit in edits:
        if edit is None:
            yield None
            continue
        # The later edit's place in the text that it changed: its own start less what came before it.
        while number < len(change) and change[number].start - grown + len(change[number].removed) <= edit.start:
            if _is_at(change[number], edit, grown):
                break
            grown += len(change[number].inserted) - len(change[number].removed)
            number += 1
        following = change[number] if number < len(change) else None
        overlaps = following is not None and (following.start - grown < edit.end or _is_at(following, edit, grown))
        yield None if overlaps else edit.at(edit.start + grown)


def _is_at(later: Edit, edit: Edit, grown: int) -> bool:
    """Whether a later edit that removed nothing stands where an empty edit stands: they cannot be told apart."""
    return not later.removed and not edit.inserted and later.start - grown == edit.start
