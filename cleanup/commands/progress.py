"""Progress while lanes work: one line on a terminal, nothing where events go to a pipe."""

import sys
import time

import click

from cleanup.db.chunks import plan_progress
from cleanup.db.connection import Connection
from cleanup.report.run_model import run_report


class PlanProgress:
    """Rows read of the rows that the catalog estimates."""

    def __init__(self) -> None:
        self._line = _Line()

    def __call__(self, connection: Connection, plan_id: int) -> None:
        """Draw the line anew."""
        if not self._line.is_shown:
            return
        rows, estimate = plan_progress(connection, plan_id)
        of = f"/~{estimate:,}" if estimate >= rows else ""
        self._line.draw(f"plan {plan_id}: {rows:,}{of} rows read")


class RunProgress:
    """Findings settled of those planned."""

    def __init__(self) -> None:
        self._line = _Line()

    def __call__(self, connection: Connection, run_id: int) -> None:
        """Draw the line anew."""
        if not self._line.is_shown:
            return
        report = run_report(connection, run_id, 0, with_open_head=False)
        share = report.settled_findings / report.planned_findings if report.planned_findings else 1.0
        self._line.draw(f"run {run_id}: {report.settled_findings:,}/{report.planned_findings:,} findings, {share:.1%}")


class _Line:
    def __init__(self) -> None:
        self.is_shown = sys.stderr.isatty()
        self._started = time.monotonic()

    def draw(self, text: str) -> None:
        click.echo(f"\r\x1b[K{text}, {time.monotonic() - self._started:.0f} s", nl=False, err=True)
