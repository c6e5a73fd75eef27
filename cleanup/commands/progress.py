"""What a job shows while it works: a bar on a terminal, numbers where somebody wants them, else nothing but events."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from cleanup.commands.metrics import MetricsTeller
from cleanup.config import JobConfig, Metrics
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.engine.cutover_wait import Countdown
from cleanup.engine.job import Job
from cleanup.errors import CleanupError
from cleanup.report.metrics_model import PlanNumbers, RunNumbers, WaitNumbers, plan_numbers, run_numbers
from cleanup.report.progress_model import Look, look_at_plan, look_at_run

if TYPE_CHECKING:
    from cleanup.report.as_live import Bar

_LOOK_EVERY_SECONDS: Final = 1.0
# A look takes sums over all batches: of a long run it must not become part of the load.
_REST_AFTER_A_LOOK: Final = 20
_DRAW_EVERY_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is looked at: for a bar alone, and with everything that is told of it."""

    look: Callable[[Connection, int], Look]
    numbers: Callable[[Connection, int, JobConfig], RunNumbers | PlanNumbers]


RUN: Final = _Subject(look_at_run, run_numbers)
PLAN: Final = _Subject(look_at_plan, lambda connection, plan_id, _: plan_numbers(connection, plan_id))


class TerminalBar:
    """The bar, where standard error is a terminal; it takes its line when it is drawn for the first time."""

    def __init__(self) -> None:
        self.is_shown: Final = sys.stderr.isatty()
        self._stack = ExitStack()
        self._bar: Bar | None = None
        self._drawn_at = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the line as it was drawn last."""
        self._stack.close()

    def draw(self, look: Look) -> None:
        """Draw a look."""
        if self.is_shown:
            self._taken().draw(look)

    def draw_line(self, name: str, share: float | None, *words: str) -> None:
        """Draw other work; as often as the caller likes, since an eye can follow only so much."""
        if self.is_shown and time.monotonic() - self._drawn_at >= _DRAW_EVERY_SECONDS:
            self._drawn_at = time.monotonic()
            self._taken().draw_line(name, share, *words)

    def _taken(self) -> "Bar":
        if self._bar is None:
            from cleanup.report.as_live import Bar  # noqa: PLC0415 - slow to import, and for a terminal alone

            self._bar = self._stack.enter_context(Bar())
        return self._bar


class JobProgress:
    """A job's own look at its run or plan, on each of its ticks; at the end it looks once more."""

    def __init__(self, job: Job, subject: _Subject, place: Metrics) -> None:
        # As it was read last: after a wait for the cutover it is read again.
        self.job = job
        self._subject = subject
        self._number: int | None = None
        self._due_at = float("-inf")
        self._bar = TerminalBar()
        self._teller = MetricsTeller(place)

    def __enter__(self) -> Self:
        """Open what the numbers are told at; raises MetricsUnusable."""
        self._teller.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show and tell how it ended."""
        try:
            self._look_at_the_end()
        finally:
            self._bar.__exit__(kind, error, trace)
            self._teller.__exit__(kind, error, trace)

    def __call__(self, connection: Connection, number: int) -> None:
        """Look, where that is due and somebody sees it."""
        self._number = number
        began = time.monotonic()
        if began >= self._due_at:
            self._look(connection, number)
            self._due_at = began + max(_LOOK_EVERY_SECONDS, _REST_AFTER_A_LOOK * (time.monotonic() - began))

    def wait(self, countdown: Countdown) -> None:
        """Tell how long it still is to the cutover; the countdown shows itself."""
        at = countdown.cutover - timedelta(seconds=countdown.seconds_left)
        self._teller.take(WaitNumbers(countdown.plan_id, countdown.cutover, countdown.seconds_left, at))

    def _look(self, connection: Connection, number: int) -> None:
        if self._teller.is_wanted:
            numbers = self._subject.numbers(connection, number, self.job.config)
            self._teller.take(numbers)
            self._bar.draw(numbers.look)
        elif self._bar.is_shown:
            self._bar.draw(self._subject.look(connection, number))

    def _look_at_the_end(self) -> None:
        number = self._number
        if number is None or not (self._teller.is_wanted or self._bar.is_shown):
            return
        database = Database(self.job.dsn, "cleanup status")
        try:
            database.glance(lambda connection: self._look(connection, number))
        except CleanupError:
            # How the job ended is being said already, and it may be this.
            return
        finally:
            database.close()
