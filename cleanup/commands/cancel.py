"""cleanup cancel: end a run where it stands, from any host."""

import click

from cleanup.commands.options import OutputFormat, dsn_option, format_option
from cleanup.commands.wishes import ask_of_run, reason_option, run_argument
from cleanup.engine.control import cancel


@click.command("cancel")
@dsn_option
@run_argument
@reason_option
@format_option
def command(dsn: str, run_id: int, reason: str | None, output_format: OutputFormat) -> None:
    """End a run for good: every batch is complete, the rest is not done, and its jobs exit with 1."""
    ask_of_run(dsn, cancel, run_id, reason, output_format)
