"""Naming what is wrong with a log: which finding's row, outcome or deferral does not let its batch prove itself."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from cleanup.db.batches import BatchRow
from cleanup.db.change_log import LogRow, Place, page_of_log, places
from cleanup.db.connection import Connection
from cleanup.db.log_proof import ConflictRow, DeferralRow, OutcomeRow, PlannedValue, deferral_rows, planned_values
from cleanup.db.runs import Run
from cleanup.engine.chain import CHAIN_START, link, rows_hash
from cleanup.engine.log_batches import beside_the_rows
from cleanup.engine.log_chains import LogProblem, digest_of
from cleanup.engine.log_walk import BatchWalk, LedgerRow

# A batch whose range was tampered with may seem to cover the whole log.
_LOOKED_AT: Final = 20_000
# Looking for rows that changed places tries every pair of suspects.
_TRIALS: Final = 2_000_000
_IN_NO_BATCH: Final = "is in no batch of that pass: it was added, or its batch is missing"


@dataclass(frozen=True, slots=True)
class _Unlinked:
    """A log row whose chain value does not follow from the row at `behind`, or from one that is gone between them."""

    row: LogRow
    digest: bytes
    behind: int
    only_its_chain: bool
    is_behind_a_gap: bool


class Blame:
    """Gathers what is wrong batch by batch, then says it by finding: rows may have moved from one to another."""

    def __init__(self, connection: Connection, run: Run) -> None:
        self._connection = connection
        self._run = run
        self._places: Mapping[tuple[int, int], Place] = places(connection, run.plan_id)
        self._planned: dict[int, PlannedValue] = {}
        # Log rows that nothing leads to, and findings of which nothing is left: the one may be the other.
        self._suspects: dict[int, tuple[LogRow, str]] = {}
        self._missing: dict[int, str] = {}
        self._others: list[tuple[int | None, str]] = []
        self._unlinked: list[_Unlinked] = []
        # The batches that were examined, with what to say of them where no row can be blamed.
        self._failed: list[tuple[BatchRow, int | None, str]] = []
        # Every chain value that some row of these batches has, or should have.
        self._links: set[bytes] = {CHAIN_START}

    @property
    def problems_so_far(self) -> int:
        """How many problems were found."""
        return len(self._suspects) + len(self._missing) + len(self._others) + len(self._unlinked) + len(self._failed)

    def stray(self, row: LedgerRow) -> None:
        """A row that belongs to no batch."""
        number = row.finding_number
        self._planned |= self._planned_within(number - 1, number)
        match row:
            case LogRow():
                self._links.add(row.chain)
                self._suspects[number] = (row, f"the log row says pass {row.run_pass}, and {_IN_NO_BATCH}")
            case OutcomeRow():
                self._others.append((number, f"the outcome says pass {row.run_pass}, and {_IN_NO_BATCH}"))
            case ConflictRow():
                self._others.append(
                    (number, f"the conflict at link {row.link_number + 1} was added: no batch settled the finding")
                )
            case DeferralRow():
                self._others.append(
                    (number, f"the deferral to pass {row.run_pass} was added: no batch of the pass before put it off")
                )

    def examine(self, walk: BatchWalk) -> None:
        """A batch that does not prove itself."""
        batch = walk.batch
        planned = self._planned_within(batch.after_number, batch.through_number)
        self._planned |= planned
        found = page_of_log(self._connection, self._run.run_id, batch.after_number, batch.through_number, _LOOKED_AT)
        rows = [row for row in found if row.run_pass == batch.run_pass]
        missing = self._note_missing(walk, rows, planned)
        doubled = self._note_surplus(walk, rows, planned)
        self._note_unlinked(walk, rows, missing, doubled)
        self._failed.append((batch, *beside_the_rows(walk, rows)))

    def problems(self) -> Iterator[LogProblem]:
        """What was found, by finding."""
        self._judge_unlinked()
        moved = self._moved()
        said: list[tuple[int | None, str]] = list(self._others)
        for number, (_, what) in self._suspects.items():
            origin = moved.get(number)
            if origin is None:
                said.append((number, what))
            elif moved.get(origin) == number:
                said.append((number, f"the log row was swapped with that of finding {origin}"))
            else:
                said.append((origin, f"the log row was moved to finding number {number}"))
        # What is there under its own number, in whatever state, is not missing.
        there = {number for number, _ in said}
        said += [(number, what) for number, what in self._missing.items() if number not in there]
        blamed = sorted(number for number, _ in said if number is not None)
        for batch, culprit, what in self._failed:
            place = bisect_right(blamed, batch.after_number)
            if place == len(blamed) or blamed[place] > batch.through_number:
                said.append((culprit, what))
        for one, what in sorted(said, key=lambda one: (one[0] is None, one[0] or 0, one[1])):
            yield self._located(one, what)

    def _located(self, number: int | None, what: str) -> LogProblem:
        if number is None:
            return LogProblem(None, what)
        planned = self._planned.get(number)
        suspect = self._suspects.get(number)
        value = planned or (suspect[0] if suspect else None)
        if value is None:
            return LogProblem(number, what)
        place = self._places.get((value.leaf_number, value.column_number))
        if place is None:
            return LogProblem(number, what)
        return LogProblem(number, what, place.leaf_name, place.column_name, value.key)

    def _planned_within(self, after_number: int, through_number: int) -> dict[int, PlannedValue]:
        values = planned_values(self._connection, self._run, after_number, through_number)
        return {value.finding_number: value for value in islice(values, _LOOKED_AT)}

    def _note_missing(
        self, walk: BatchWalk, rows: Sequence[LogRow], planned: Mapping[int, PlannedValue]
    ) -> frozenset[int]:
        """Findings of which the batch left no trace; those whose log row it may be are returned."""
        batch = walk.batch
        expected = set(planned)
        if batch.run_pass:
            deferrals = deferral_rows(self._connection, batch.run_id, batch.after_number, batch.through_number)
            expected = {row.finding_number for row in deferrals if row.run_pass == batch.run_pass}
        settled = {row.finding_number for row in rows} | {row.finding_number for row in walk.unchanged}
        settled |= set(walk.deferred)
        missing = sorted(expected - settled)
        lost_log = (batch.log_rows or 0) - len(rows)
        lost_outcomes = sum((batch.outcomes or {}).values()) - (batch.log_rows or 0) - len(walk.unchanged)
        if lost_log == len(missing):
            what = "the log row is missing"
        elif lost_outcomes == len(missing):
            what = "the outcome is missing"
        elif lost_log <= 0 and lost_outcomes <= 0:
            what = f"the deferral to pass {batch.run_pass + 1} is missing"
        else:
            what = "the log row, the outcome or the deferral is missing"
        self._missing |= dict.fromkeys(missing, what)
        return frozenset(missing if lost_log > 0 else ())

    def _note_surplus(
        self, walk: BatchWalk, rows: Sequence[LogRow], planned: Mapping[int, PlannedValue]
    ) -> frozenset[int]:
        """Findings that there are not, and those that are settled twice; the latter are returned."""
        unchanged = {row.finding_number: row for row in walk.unchanged}
        for row in rows:
            number = row.finding_number
            if planned and number not in planned:
                self._suspects[number] = (row, "the log row was added: there is no such finding to change")
            elif number in unchanged:
                others = rows_hash(digest_of(one) for one in rows if one is not row)
                without = walk.sealed(others, walk.unchanged, walk.conflicts)
                added = "log row" if without == walk.batch.head else "outcome"
                outcome = unchanged[number].outcome
                self._others.append((number, f"the {added} was added: it is both changed and {outcome}"))
        if planned:
            for number in unchanged.keys() - planned.keys():
                self._others.append((number, "the outcome was added: there is no such finding to change"))
        return frozenset(unchanged.keys() & {row.finding_number for row in rows})

    def _note_unlinked(
        self, walk: BatchWalk, rows: Sequence[LogRow], missing: frozenset[int], doubled: frozenset[int]
    ) -> None:
        digests = [digest_of(row) for row in rows]
        stored = [CHAIN_START, *(row.chain for row in rows)]
        derived = [link(previous, digest) for previous, digest in zip(stored, digests, strict=False)]
        self._links.update(stored, derived)
        behind = walk.batch.after_number
        for place, row in enumerate(rows):
            number = row.finding_number
            if derived[place] != row.chain and number not in self._suspects and number not in doubled:
                if place + 1 < len(rows):
                    only_its_chain = link(derived[place], digests[place + 1]) == rows[place + 1].chain
                else:
                    only_its_chain = walk.sealed(rows_hash(digests), walk.unchanged, walk.conflicts) == walk.batch.head
                is_behind_a_gap = any(behind < gone < number for gone in missing)
                self._unlinked.append(_Unlinked(row, digests[place], behind, only_its_chain, is_behind_a_gap))
            behind = number

    def _judge_unlinked(self) -> None:
        # Where a row changed places, what came before another one stands somewhere else now.
        can_try = len(self._unlinked) * len(self._links) <= _TRIALS
        changed: set[int] = set()
        for one in sorted(self._unlinked, key=lambda one: (one.row.run_pass, one.row.finding_number)):
            number = one.row.finding_number
            if can_try and any(link(previous, one.digest) == one.row.chain for previous in self._links):
                continue
            difference = self._difference(one.row)
            if one.only_its_chain:
                what = "the chain value of the log row was changed"
            elif difference or not (one.is_behind_a_gap or one.behind in changed):
                what = f"the log row was changed{difference}"
                changed.add(number)
            else:
                what = "the log row can not be proved without the one before it"
            self._suspects[number] = (one.row, what)

    def _difference(self, row: LogRow) -> str:
        planned = self._planned.get(row.finding_number)
        if planned is None:
            return ""
        names = ("leaf_number", "column_number", "key", "created_at", "author")
        different = [name for name in names if getattr(row, name) != getattr(planned, name)]
        return f": another {', '.join(different)} than was planned" if different else ""

    def _moved(self) -> dict[int, int]:
        """Suspects that are whole under the number of another one, or of a row that is missing."""
        wanted = self._missing.keys() | self._suspects.keys()
        if len(self._suspects) * len(wanted) * len(self._links) > _TRIALS:
            return {}
        moved: dict[int, int] = {}
        for number, (row, _) in self._suspects.items():
            for other in sorted(wanted - {number}):
                digest = digest_of(replace(row, finding_number=other))
                there = self._suspects.get(other)
                chains = {row.chain, there[0].chain} if there else {row.chain}
                if any(link(previous, digest) in chains for previous in self._links):
                    moved[number] = other
                    break
        return moved
