"""A batch that does not fit its head though each of its log rows is there and linked: what else to blame."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from cleanup.db.change_log import LogRow
from cleanup.db.log_proof import ConflictRow, OutcomeRow
from cleanup.engine.chain import rows_hash
from cleanup.engine.log_chains import digest_of
from cleanup.engine.log_walk import BatchWalk
from cleanup.engine.verdicts import ConflictReason, Outcome

# A finding, what became of it, and the batch's outcomes and conflicts before that.
_Trial: TypeAlias = tuple[int, str, Sequence[OutcomeRow], Sequence[ConflictRow]]

# Few values have more links than this.
_LINKS_TRIED: Final = 20


def beside_the_rows(walk: BatchWalk, rows: Sequence[LogRow]) -> tuple[int | None, str]:
    """What to blame where every row is there and linked: an outcome, a conflict, or what the batch says of itself."""
    batch = walk.batch
    said = Counter(batch.outcomes or {})
    found = Counter(row.outcome for row in rows) + Counter(row.outcome for row in walk.unchanged)
    hashed = rows_hash(map(digest_of, rows))
    for number, what, unchanged, conflicts in (*_outcomes(walk, said, found), *_conflicts(walk, rows)):
        if walk.sealed(hashed, unchanged, conflicts) == batch.head:
            return number, what
    settled = len(rows) + len(walk.unchanged) + len(walk.deferred)
    counts = (
        *((outcome, said[outcome], found[outcome]) for outcome in sorted(said | found)),
        ("log_rows", batch.log_rows or 0, len(rows)),
        ("findings", batch.findings, settled),
    )
    wrong = [f"{what} {says:,} instead of {has:,}" for what, says, has in counts if says != has]
    name = f"the batch of pass {batch.run_pass} after finding {batch.after_number}"
    if wrong:
        return None, f"{name} does not add up: it says {', '.join(wrong)}"
    return None, f"{name} does not fit its head: what it says of itself was changed, or a detail of its outcomes"


def _outcomes(walk: BatchWalk, said: Counter[str], found: Counter[str]) -> Iterator[_Trial]:
    """Each outcome that there is too much of, as one that there is too little of."""
    for place, row in enumerate(walk.unchanged):
        for other in (said - found) if (found - said)[row.outcome] else ():
            as_it_was = [*walk.unchanged[:place], replace(row, outcome=other), *walk.unchanged[place + 1 :]]
            what = f"the outcome was changed: it was {other}, and says {row.outcome}"
            yield row.finding_number, what, as_it_was, walk.conflicts


def _conflicts(walk: BatchWalk, rows: Sequence[LogRow]) -> Iterator[_Trial]:
    """The conflicts with one reason changed, with one of them left out, and with one more."""
    reasons = [reason.value for reason in ConflictReason]
    for place, row in enumerate(walk.conflicts):
        before, behind = walk.conflicts[:place], walk.conflicts[place + 1 :]
        where = f"the conflict at link {row.link_number + 1}"
        yield row.finding_number, f"{where} was added", walk.unchanged, [*before, *behind]
        for reason in reasons:
            what = f"{where} was changed: it was {reason}, and says {row.reason}"
            yield row.finding_number, what, walk.unchanged, [*before, replace(row, reason=reason), *behind]
    partly = [row.finding_number for row in rows if row.outcome == Outcome.RESTORED_IN_PART.value]
    wholly = [row.finding_number for row in walk.unchanged if row.outcome == Outcome.CONFLICT.value]
    for number in (*partly, *wholly):
        for link_number in range(_LINKS_TRIED):
            what = f"the conflict at link {link_number + 1} is missing"
            for reason in reasons:
                more = [*walk.conflicts, ConflictRow(number, link_number, reason)]
                yield number, what, walk.unchanged, more
