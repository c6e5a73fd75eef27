"""Watching a run or a plan from any host until it ends: reads the ledger, and changes nothing."""

import sys
import time
from collections.abc import Callable

import click

from cleanup.commands.options import OutputFormat
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.ledger import require_ledger
from cleanup.db.progress import newest_open_plan, newest_open_run
from cleanup.errors import NothingAtWork
from cleanup.report.as_json import render_json_line
from cleanup.report.as_lines import look_line
from cleanup.report.progress_model import Look, look_at_plan, look_at_run
from cleanup.vocabulary import ExitStatus

Eye = Callable[[Connection], Look]


def watch(dsn: str, run_id: int | None, plan_id: int | None, every_seconds: float, output_format: OutputFormat) -> None:
    """Look again and again until the run or plan ends; exit as it ended. Raises NothingAtWork."""
    # Who watches a night's run outlasts a restart of its server.
    database = Database(dsn, "cleanup status")
    try:
        eye = database.transact(lambda connection: _eye(connection, run_id, plan_id), read_only=True)
        look = _watch(lambda: database.transact(eye, read_only=True, one_snapshot=True), every_seconds, output_format)
    except KeyboardInterrupt:
        # The work goes on, so nothing is to be said; but whoever waits for its end has not seen it.
        raise SystemExit(ExitStatus.INTERRUPTED) from None
    finally:
        database.close()
    if look.exit_status:
        raise SystemExit(look.exit_status)


def _eye(connection: Connection, run_id: int | None, plan_id: int | None) -> Eye:
    require_ledger(connection)
    if run_id is None and plan_id is None:
        run_id = newest_open_run(connection)
        plan_id = newest_open_plan(connection) if run_id is None else None
    if run_id is not None:
        return _run_eye(run_id)
    if plan_id is not None:
        return _plan_eye(plan_id)
    raise NothingAtWork("no run is open and no plan is being made", hint="`cleanup status` lists what there was.")


def _run_eye(run_id: int) -> Eye:
    return lambda connection: look_at_run(connection, run_id)


def _plan_eye(plan_id: int) -> Eye:
    return lambda connection: look_at_plan(connection, plan_id)


def _watch(look: Callable[[], Look], every_seconds: float, output_format: OutputFormat) -> Look:
    if sys.stdout.isatty() and output_format is OutputFormat.TEXT:
        from cleanup.report.as_live import Screen  # noqa: PLC0415 - slow to import, and for a terminal alone

        with Screen() as screen:
            return _until_the_end(look, screen.draw, every_seconds)
    render = _text_line if output_format is OutputFormat.TEXT else render_json_line
    return _until_the_end(look, lambda one: click.echo(render(one), nl=False), every_seconds)


def _text_line(look: Look) -> str:
    return f"{look.at.isoformat(timespec='seconds')} {look_line(look)}\n"


def _until_the_end(look: Callable[[], Look], show: Callable[[Look], None], every_seconds: float) -> Look:
    while True:
        one = look()
        show(one)
        # A pipe may be full of lines that somebody waits for.
        sys.stdout.flush()
        if one.is_over:
            return one
        time.sleep(every_seconds)
