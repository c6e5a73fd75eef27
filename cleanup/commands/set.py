"""cleanup set: another pace or throttle for a running run, from any host."""

import click

from cleanup.commands.options import OutputFormat, dsn_option, format_option
from cleanup.commands.wishes import run_argument
from cleanup.db.database import Database
from cleanup.engine.control import change_settings
from cleanup.report.as_json import render_json
from cleanup.report.as_text import shown


@click.command("set")
@dsn_option
@run_argument
@click.argument("settings", metavar="KEY=VALUE...", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why; it is recorded, and status shows it.")
@format_option
def command(dsn: str, run_id: int, settings: tuple[str, ...], reason: str, output_format: OutputFormat) -> None:
    """Put pace.KEY=NUMBER, throttle.KEY=NUMBER or throttle.SIGNAL=ignore in the place of the config's.

    It holds for this run, on every host, from the next batch on. VALUE `config` takes a setting back;
    throttle.SIGNAL=watch looks at a signal that the config ignores.
    """
    database = Database(dsn, "cleanup control")
    try:
        held = change_settings(database, run_id, settings, reason)
    finally:
        database.close()
    if output_format is OutputFormat.JSON:
        click.echo(render_json({"run_id": run_id, "settings": held}), nl=False)
        return
    lines = [f"  {section}.{key} = {shown(value)}" for section, values in held.items() for key, value in values.items()]
    click.echo("\n".join([f"run {run_id}, instead of what its config says:", *(lines or ["  nothing"])]))
