"""Proving the change log: what each batch wrote against the batch's head, the batches against the head of the run."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from cleanup.db.batches import BatchRow, batch_rows
from cleanup.db.change_log import LogRow
from cleanup.db.connection import Connection
from cleanup.db.log_proof import chunk_ranges, planned_values, recorded_heads
from cleanup.db.runs import Run, RunState
from cleanup.engine.chain import run_head
from cleanup.engine.log_blame import Blame
from cleanup.engine.log_chains import LogProblem
from cleanup.engine.log_walk import BatchWalk, walk_log

# Where a whole log is gone, the first of its rows stand for all.
_NAMED_AT_MOST: Final = 1_000


@dataclass(slots=True)
class LogCheck:
    """What is wrong with a log, and which of its rows can be relied on all the same."""

    problems: list[LogProblem] = field(default_factory=list)
    _whole: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def proves(self, row: LogRow) -> bool:
        """Whether the row's batch is whole."""
        ranges = self._whole.get(row.run_pass, [])
        place = bisect_left(ranges, (row.finding_number,)) - 1
        return place >= 0 and ranges[place][0] < row.finding_number <= ranges[place][1]

    def rely_on(self, batch: BatchRow) -> None:
        """Note a batch that proves itself."""
        self._whole.setdefault(batch.run_pass, []).append((batch.after_number, batch.through_number))


def check_log(connection: Connection, run: Run) -> LogCheck:
    """Hold everything that a closed run's batches wrote against their heads, and name what does not fit.

    Rows changed, missing, added or moved; outcomes, conflicts, deferrals; batches, and the head of the run.
    """
    batches = batch_rows(connection, run.run_id)
    check, blame, passed_over = LogCheck(), Blame(connection, run), 0
    for found in walk_log(connection, run.run_id, batches):
        if isinstance(found, BatchWalk) and found.is_whole:
            check.rely_on(found.batch)
        elif blame.problems_so_far >= _NAMED_AT_MOST:
            passed_over += 1
        elif isinstance(found, BatchWalk):
            blame.examine(found)
        else:
            blame.stray(found)
    check.problems += blame.problems()
    if passed_over:
        check.problems.append(LogProblem(None, f"{passed_over:,} further batches and rows do not fit"))
    check.problems += [LogProblem(None, what) for what in _judge_run(connection, run, batches, check)]
    return check


def _judge_run(connection: Connection, run: Run, batches: Sequence[BatchRow], check: LogCheck) -> Iterator[str]:
    if run.log_head is None:
        return
    recorded = recorded_heads(connection, run.run_id)
    if recorded and run.log_head.hex() not in recorded:
        yield "the head of the run was changed: the event of its end recorded another one"
    elif run_head(batches) != run.log_head:
        yield "the head of the run does not fit its batches: one was changed, added or taken away"
        yield from _gaps(connection, run, batches)
    settled = sum(sum((batch.outcomes or {}).values()) for batch in batches)
    if run.state is RunState.FINISHED and settled != run.planned and not check.problems:
        yield f"the batches of the run settled {settled:,} findings instead of {run.planned:,}"


def _gaps(connection: Connection, run: Run, batches: Sequence[BatchRow]) -> Iterator[str]:
    """Where the batches of a chunk do not follow one another, pass by pass."""
    found: dict[tuple[int, int], list[BatchRow]] = {}
    for batch in sorted(batches, key=lambda batch: batch.after_number):
        found.setdefault((batch.chunk_number, batch.run_pass), []).append(batch)
    for chunk in chunk_ranges(connection, run.run_id):
        found.setdefault((chunk.chunk_number, 0), [])
        for run_pass in sorted(run_pass for number, run_pass in found if number == chunk.chunk_number):
            end = chunk.after_number
            for batch in found[chunk.chunk_number, run_pass]:
                if batch.after_number > end:
                    yield f"the batch of pass {run_pass} after finding {end} is missing"
                elif batch.after_number < end:
                    yield f"the batch of pass {run_pass} after finding {batch.after_number} overlaps the one before it"
                end = batch.through_number
            is_over = run.state is RunState.FINISHED and run_pass == 0
            if is_over and next(planned_values(connection, run, end, chunk.through_number), None) is not None:
                yield f"the batch of pass {run_pass} after finding {end} is missing"
