"""cleanup status: plans and runs, from any host."""

from typing import Final

import click

from cleanup.commands.options import OutputFormat, dsn_option, format_option, look
from cleanup.report.as_json import render_json
from cleanup.report.as_text import render_run
from cleanup.report.run_model import run_report
from cleanup.report.status_model import read_status, render_status

_LEFT_SHOWN: Final = 20


@click.command("status")
@dsn_option
@click.argument("run_id", metavar="[RUN]", type=int, required=False)
@format_option
def command(dsn: str, run_id: int | None, output_format: OutputFormat) -> None:
    """Show one run, or every plan and run."""
    as_json = output_format is OutputFormat.JSON
    if run_id is not None:
        report = look(dsn, "status", lambda connection: run_report(connection, run_id, _LEFT_SHOWN))
        click.echo(render_json(report) if as_json else render_run(report), nl=False)
    else:
        status = look(dsn, "status", read_status)
        click.echo(render_json(status) if as_json else render_status(status), nl=False)
