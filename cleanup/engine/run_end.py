"""How a run ends: closed with the head of its log, or interrupted with its checkpoint kept."""

from collections.abc import Mapping
from typing import Final

from cleanup.db.batches import batch_rows
from cleanup.db.connection import Connection
from cleanup.db.controls import Wish, look_at_gate
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.run_chunks import unfinished_run_chunks
from cleanup.db.runs import Run, RunKind, RunState, close_run, get_run, interrupt_run
from cleanup.engine.chain import run_head
from cleanup.engine.lanes import Stopped
from cleanup.engine.run_marks import tell_mark
from cleanup.errors import CleanupError, MaxRuntimeReached, PlanAlreadyApplied, RunCancelled, StoppedBySignal
from cleanup.event_catalogue import Event
from cleanup.log import tell

ENDING_EVENTS: Final[Mapping[RunState, Event]] = {
    RunState.FINISHED: Event.RUN_FINISHED,
    RunState.CANCELLED: Event.RUN_CANCELLED,
    RunState.DRIFT_STOPPED: Event.RUN_DRIFT_STOPPED,
}


def end_run(database: Database, run_id: int, *, stopped: Stopped | None) -> Run:
    """Close a run whose chunks are all done, or raise why it stopped: RunCancelled, or an Interrupted."""
    if database.transact(lambda connection: unfinished_run_chunks(connection, run_id)):
        raise database.transact(lambda connection: _interrupt(connection, run_id, stopped))
    return database.transact(lambda connection: close(connection, run_id, RunState.FINISHED))


def close(connection: Connection, run_id: int, state: RunState) -> Run:
    """Give a run its end in the open transaction, with the head over its batches."""
    # Two jobs may have worked on the run; one of them closes it.
    head = close_run(connection, run_id, state)
    if head is not None:
        tell_mark(connection, run_id)
        tell(ENDING_EVENTS[state], run=run_id, log_head=head.hex())
    return get_run(connection, run_id)


def head_so_far(connection: Connection, run_id: int) -> str:
    """The head over the batches that an open run has, for whoever keeps it outside of the database."""
    return run_head(batch_rows(connection, run_id)).hex()


def command_of(run: Run) -> str:
    """The command that goes on with an open run."""
    verb, number = ("apply", run.plan_id) if run.kind is RunKind.APPLY else ("rollback", run.source_run_id)
    return f"cleanup {verb} {number}"


def _interrupt(connection: Connection, run_id: int, stopped: Stopped | None) -> CleanupError:
    control = look_at_gate(connection, run_id).control
    if control.wish is Wish.CANCEL and close(connection, run_id, RunState.CANCELLED).state is RunState.CANCELLED:
        return RunCancelled(
            f"run {run_id} was cancelled by {control.asked_by}" + (f": {control.reason}" if control.reason else ""),
            hint=f"every batch of it is complete: `cleanup report --run {run_id}` shows them, and "
            f"`cleanup rollback {run_id}` undoes them. The rest needs a new plan, and not one with --since.",
        )
    ours = interrupt_run(connection, run_id)
    if ours:
        head = head_so_far(connection, run_id)
        add_event(connection, Event.RUN_INTERRUPTED, run_id=run_id, log_head=head)
        tell(Event.RUN_INTERRUPTED, run=run_id, log_head=head)
    run = get_run(connection, run_id)
    if not run.state.is_open:
        return PlanAlreadyApplied(
            f"run {run_id} is {run.state.value}: another job has ended it",
            hint=f"`cleanup status {run_id}` shows it; the rest needs a new plan.",
        )
    kind = MaxRuntimeReached if stopped is Stopped.AT_MAX_RUNTIME else StoppedBySignal
    return kind(
        f"run {run_id} was interrupted {stopped.value if stopped else 'between batches'}"
        + ("" if ours else "; another job goes on with it"),
        hint=f"the checkpoint is kept; the same command goes on: {command_of(run)}",
    )
