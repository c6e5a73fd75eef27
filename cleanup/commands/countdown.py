"""The count-down to the cutover: one line on a terminal, now and then an event in a pipe."""

import sys
import time
from datetime import timedelta
from typing import Final

import click

from cleanup.engine.cutover_wait import Countdown
from cleanup.event_catalogue import Event
from cleanup.log import tell

# A weekend's wait must not fill a log.
_EVENT_EVERY_SECONDS: Final = 600.0


class CutoverCountdown:
    """Shows how long it still is."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._told_at: float | None = None

    def __call__(self, countdown: Countdown) -> None:
        """Draw the line anew, or log an event where the last one is some time ago."""
        if self._on_terminal:
            left = timedelta(seconds=int(countdown.seconds_left))
            line = f"plan {countdown.plan_id}: {left} to the cutover {countdown.cutover.isoformat()}"
            click.echo(f"\r\x1b[K{line}", nl=False, err=True)
            return
        now = time.monotonic()
        if self._told_at is None or now - self._told_at >= _EVENT_EVERY_SECONDS:
            self._told_at = now
            tell(
                Event.CUTOVER_AWAITED,
                plan=countdown.plan_id,
                cutover=countdown.cutover.isoformat(),
                seconds_left=round(countdown.seconds_left),
            )
