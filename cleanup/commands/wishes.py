"""What pause, resume and cancel share: their arguments, and what they say at the end."""

from collections.abc import Callable

import click

from cleanup.commands.options import OutputFormat
from cleanup.db.database import Database
from cleanup.engine.control import Answer
from cleanup.report.as_json import render_json
from cleanup.report.as_text import shown

run_argument = click.argument("run_id", metavar="RUN", type=int)
reason_option = click.option("--reason", help="Why; it is recorded, and status shows it.")


def ask_of_run(
    dsn: str,
    ask: Callable[[Database, int, str | None], Answer],
    run_id: int,
    reason: str | None,
    output_format: OutputFormat,
) -> None:
    """Ask something of a run, and print what it is now."""
    database = Database(dsn, "cleanup control")
    try:
        answer = ask(database, run_id, reason)
    finally:
        database.close()
    click.echo(render_json(answer) if output_format is OutputFormat.JSON else f"{_line(answer)}\n", nl=False)


def _line(answer: Answer) -> str:
    was = "" if answer.changed else "already "
    why = f": {shown(answer.reason)}" if answer.reason else ""
    asked = f" by {shown(answer.asked_by)}" if answer.asked_by else ""
    line = f"run {answer.run_id} is {was}{answer.standing}{asked}{why}"
    return f"{line}\n  {answer.way_on}" if answer.way_on else line
