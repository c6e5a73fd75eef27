"""Conflicts of a rollback, for the person who has to decide: the link, what was put there, the text of today."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Final

from cleanup.db.change_log import LogRow, conflicting_log, link_conflicts
from cleanup.db.connection import Connection
from cleanup.db.posts import present_rows
from cleanup.db.runs import get_run
from cleanup.db.selection import Selection
from cleanup.db.targets import Target
from cleanup.engine.job import Job
from cleanup.engine.rollback_source import open_source
from cleanup.engine.verdicts import Conflict, ConflictReason
from cleanup.links.logged_edits import decode_edits
from cleanup.links.words import Words

_AT_ONCE: Final = 500
# A post may be of any size; a person reads its beginning.
_SHOWN_CHARACTERS: Final = 2_000


@dataclass(frozen=True, slots=True)
class ConflictCase:
    """One link that can not go back: where, what it was, what the run put there, and the text of today."""

    leaf_name: str
    column_name: str
    key: tuple[str, ...]
    link_number: int
    reason: ConflictReason
    link: str
    put_there: str
    text_now: str | None


def cases_of(
    target: Target, row: LogRow, conflicts: Sequence[Conflict], text: str | None, words: Words
) -> Iterator[ConflictCase]:
    """The cases of one value, given its log row, its text as it is now, and the words of the plan."""
    edits = {edit.number: edit for edit in decode_edits(row.edits, words)}
    column = next(column for column in target.table.columns if column.number == row.column_number)
    for conflict in conflicts:
        edit = edits[conflict.link_number]
        yield ConflictCase(
            leaf_name=target.leaf.full_name,
            column_name=column.name,
            key=row.key,
            link_number=conflict.link_number,
            reason=conflict.reason,
            link=edit.removed,
            put_there=edit.inserted,
            text_now=None if text is None else text[:_SHOWN_CHARACTERS],
        )


def conflicts_of(connection: Connection, job: Job, run_id: int) -> Iterator[ConflictCase]:
    """Every conflict of a rollback, with the texts as they are now."""
    rollback = get_run(connection, run_id)
    if rollback.source_run_id is None:
        return
    source = open_source(connection, job, rollback.source_run_id, Selection())
    words = Words(source.plan.words)
    by_finding: defaultdict[int, list[Conflict]] = defaultdict(list)
    for finding_number, link_number, reason in link_conflicts(connection, run_id):
        by_finding[finding_number].append(Conflict(link_number, ConflictReason(reason)))
    numbers = iter(sorted(by_finding))
    while page := list(islice(numbers, _AT_ONCE)):
        rows = conflicting_log(connection, rollback.source_run_id, page)
        for leaf_number, group in groupby(rows, key=lambda row: row.leaf_number):
            target, logged = source.targets[leaf_number], list(group)
            present = present_rows(connection, target, [row.key for row in logged])
            for row in logged:
                found = present.get(row.key)
                text = found.texts[row.column_number] if found else None
                yield from cases_of(target, row, by_finding[row.finding_number], text, words)
