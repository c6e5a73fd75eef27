"""cleanup resume: let a paused run go on, from any host."""

import click

from cleanup.commands.options import OutputFormat, dsn_option, format_option
from cleanup.commands.wishes import ask_of_run, reason_option, run_argument
from cleanup.engine.control import resume


@click.command("resume")
@dsn_option
@run_argument
@reason_option
@format_option
def command(dsn: str, run_id: int, reason: str | None, output_format: OutputFormat) -> None:
    """Let a paused run go on where it stands. A run whose job has ended goes on with the same command as before."""
    ask_of_run(dsn, resume, run_id, reason, output_format)
