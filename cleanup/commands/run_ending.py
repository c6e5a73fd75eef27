"""What apply and rollback say at their end."""

import click

from cleanup.commands.options import OutputFormat, look
from cleanup.report.as_json import render_json
from cleanup.report.as_text import render_run
from cleanup.report.run_model import run_report
from cleanup.vocabulary import ExitStatus

_LEFT_SHOWN = 20


def print_run(dsn: str, run_id: int, output_format: OutputFormat) -> None:
    """Print a closed run; exit with 1 where something is left for a person."""
    report = look(dsn, "report", lambda connection: run_report(connection, run_id, _LEFT_SHOWN))
    click.echo(render_json(report) if output_format is OutputFormat.JSON else render_run(report), nl=False)
    if report.leaves_work:
        raise SystemExit(ExitStatus.LEFT_OR_REFUSED)
