"""cleanup pause: let a run stand still between batches, from any host."""

import click

from cleanup.commands.options import OutputFormat, dsn_option, format_option
from cleanup.commands.wishes import ask_of_run, reason_option, run_argument
from cleanup.engine.control import pause


@click.command("pause")
@dsn_option
@run_argument
@reason_option
@format_option
def command(dsn: str, run_id: int, reason: str | None, output_format: OutputFormat) -> None:
    """Let a run stand still once its open batches are committed; its jobs wait, and status says who asked and why."""
    ask_of_run(dsn, pause, run_id, reason, output_format)
