"""Waiting for the cutover by the server's clock, with everything looked at first that can be known before it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import get_plan
from cleanup.db.runs import apply_run_of
from cleanup.db.session import server_clock
from cleanup.engine.guards import (
    require_approval,
    require_finished,
    require_here,
    require_same_rules,
    require_same_tables,
)
from cleanup.engine.job import Job, describe_tables
from cleanup.engine.job_signals import signals_noted
from cleanup.errors import DatabaseFailed, StoppedBySignal
from cleanup.event_catalogue import Event
from cleanup.log import tell

APPLICATION_NAME: Final = "cleanup apply --wait"
# The server is asked again after a tenth of what is left: seldom over a weekend, closely at the end.
_ASKED_AGAIN_AFTER: Final = 0.1
_SHORTEST_SECONDS: Final = 0.05
_LONGEST_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Countdown:
    """How long it still is to the cutover, by the server's clock."""

    plan_id: int
    cutover: datetime
    seconds_left: float


def wait_for_cutover(job: Job, plan_id: int, on_tick: Callable[[Countdown], None]) -> None:
    """Return once the cutover of a plan has come.

    Raises before the wait what `apply` would refuse after it: an approval that will have run out by the cutover, too.
    Raises StoppedBySignal where a signal ends the wait; nothing was written by then.
    """
    database = Database(job.dsn, APPLICATION_NAME)
    try:
        cutover = database.transact(lambda connection: _look_ahead(connection, job, plan_id), read_only=True)
        left = _seconds_to(database, cutover)
    finally:
        database.close()
    with signals_noted() as signals:
        # A server that is away for a while in the middle of the night is no reason to give up.
        database = Database(job.dsn, APPLICATION_NAME, patient=True, pause=signals.wait)
        while left > 0 and signals.came is None:
            on_tick(Countdown(plan_id, cutover, left))
            expected = time.monotonic() + left
            signals.wait(min(left, max(_SHORTEST_SECONDS, min(_LONGEST_SECONDS, left * _ASKED_AGAIN_AFTER))))
            try:
                left = _ask_again(database, cutover, expected)
            finally:
                # No connection is held while there is nothing to ask.
                database.close()
        # Even one that came in the last moment: whoever sent it does not expect a run to begin.
        if signals.came is not None:
            raise StoppedBySignal(
                f"the wait for the cutover of plan {plan_id} was interrupted",
                hint=f"nothing was written; the same command waits on: cleanup apply {plan_id} --wait",
            )


def _look_ahead(connection: Connection, job: Job, plan_id: int) -> datetime:
    require_ledger(connection)
    plan = get_plan(connection, plan_id)
    require_finished(plan)
    require_here(connection, plan)
    require_same_rules(plan, job)
    require_same_tables(connection, plan, describe_tables(connection, job))
    if apply_run_of(connection, plan_id) is None:
        now = max(server_clock(connection), plan.cutover)
        require_approval(connection, plan, now, four_eyes=job.config.approval.four_eyes)
    return plan.cutover


def _seconds_to(database: Database, cutover: datetime) -> float:
    return (cutover - database.transact(server_clock, read_only=True)).total_seconds()


def _ask_again(database: Database, cutover: datetime, expected: float) -> float:
    """What the server says is left; while it does not answer, what should be, by our own clock's `expected` instant.

    At the cutover its silence is raised: then the server's clock alone can decide.
    """
    try:
        return _seconds_to(database, cutover)
    except DatabaseFailed as error:
        left = expected - time.monotonic()
        if left <= 0:
            raise
        tell(Event.CUTOVER_CLOCK_UNANSWERED, code=error.code)
        return left
