"""A canary: a run that stops by itself after its first findings, for a look at what it wrote."""

from collections.abc import Sequence
from typing import Final, TypeVar

from cleanup.db.batches import run_totals
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.findings import Finding
from cleanup.db.run_chunks import RunChunk
from cleanup.db.runs import get_run, interrupt_run
from cleanup.db.targets import Target
from cleanup.engine.apply_judge import ApplyJudge
from cleanup.engine.run_end import command_of, head_so_far
from cleanup.engine.run_job import RunJob
from cleanup.engine.run_lane import Items
from cleanup.errors import CanaryReached
from cleanup.event_catalogue import Event
from cleanup.log import tell

# The columns of one row are neighbours, and nobody can judge half a row: as many more findings are looked at.
_COLUMNS_AT_MOST: Final = 64

_Order = TypeVar("_Order")


class CanaryJob(RunJob[_Order]):
    """The job of a canary: one lane, whatever is configured or was set, so that nobody runs ahead of the count."""

    def _lanes(self) -> int:
        return 1


class CanaryItems:
    """The items of an apply run up to a number of settled findings; its one lane stops behind the last row of them.

    How many are settled is asked of the ledger, page by page, so that a batch that was sent back counts once.
    """

    def __init__(self, items: Items[Finding], run_id: int, settled_at_most: int) -> None:
        self._items = items
        self._run_id = run_id
        self._settled_at_most = settled_at_most

    def page(self, connection: Connection, chunk: RunChunk, after_number: int, items: int) -> list[Finding]:
        """The next findings of the canary; raise CanaryReached where the run has more to do, and the canary has not."""
        left = self._settled_at_most - run_totals(connection, self._run_id).findings
        found = self._items.page(connection, chunk, after_number, min(items, max(left, 0) + _COLUMNS_AT_MOST))
        if left <= 0 and found:
            raise CanaryReached("the canary is complete", hint="look at what it wrote.")
        return found[: _row_end(found, left)]

    def judge_for(self, connection: Connection, target: Target, items: Sequence[Finding]) -> ApplyJudge:
        """The run's own judge."""
        judge = self._items.judge_for(connection, target, items)
        assert isinstance(judge, ApplyJudge)
        return judge


def settled_findings(database: Database, run_id: int) -> int:
    """How many findings the run's batches have visited so far."""
    return database.transact(lambda connection: run_totals(connection, run_id), read_only=True).findings


def stand_still(database: Database, run_id: int) -> CanaryReached:
    """Interrupt the run behind its canary; the error that says how to look, and how to go on."""
    return database.transact(lambda connection: _interrupt(connection, run_id))


def _interrupt(connection: Connection, run_id: int) -> CanaryReached:
    settled = run_totals(connection, run_id).findings
    if interrupt_run(connection, run_id):
        head = head_so_far(connection, run_id)
        add_event(connection, Event.RUN_CANARY_REACHED, run_id=run_id, findings=settled, log_head=head)
        tell(Event.RUN_CANARY_REACHED, run=run_id, findings=settled, log_head=head)
    return CanaryReached(
        f"run {run_id} stands still behind its canary: {settled:,} findings are settled",
        hint=f"look: cleanup log {run_id}; go on under the same approval: {command_of(get_run(connection, run_id))}; "
        f"or end and undo it: cleanup cancel {run_id}, cleanup rollback {run_id}",
    )


def _row_end(found: Sequence[Finding], findings: int) -> int:
    """How many of the findings to take: so many, and the rest of the last one's row."""
    end = min(findings, len(found))
    while 0 < end < len(found) and found[end].key == found[end - 1].key:
        end += 1
    return end
