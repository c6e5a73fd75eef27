"""Watching a run or a plan from any host until it ends: reads the ledger, and changes nothing."""

import sys
from collections.abc import Callable

import click

from cleanup.commands.options import OutputFormat
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.ledger import require_ledger
from cleanup.db.progress import newest_open_plan, newest_open_run
from cleanup.engine.job_signals import signals_noted
from cleanup.errors import DatabaseFailed, NothingAtWork
from cleanup.report.as_json import render_json_line
from cleanup.report.as_lines import dated_line
from cleanup.report.progress_model import Look, look_at_plan, look_at_run
from cleanup.vocabulary import ExitStatus

Eye = Callable[[Connection], Look]


def watch(dsn: str, run_id: int | None, plan_id: int | None, every_seconds: float, output_format: OutputFormat) -> None:
    """Look again and again until the run or plan ends; exit as it ended. Raises NothingAtWork."""
    # Who watches a night's run outlasts a restart of its server.
    with signals_noted() as signals:
        database = Database(dsn, "cleanup status", pause=signals.wait)
        try:
            eye = database.transact(lambda connection: _eye(connection, run_id, plan_id), read_only=True)
            last = _watch(
                lambda: database.transact(eye, read_only=True, one_snapshot=True),
                lambda: signals.wait(every_seconds),
                output_format,
            )
        except DatabaseFailed:
            if signals.came is None:
                raise
            last = None
        finally:
            database.close()
    # Where somebody ended the watch the work goes on, so nothing is to be said; but its end was not seen.
    status = last.exit_status if last is not None else ExitStatus.INTERRUPTED
    if status:
        raise SystemExit(status)


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


def _watch(look: Callable[[], Look], is_ended: Callable[[], bool], output_format: OutputFormat) -> Look | None:
    if sys.stdout.isatty() and output_format is OutputFormat.TEXT:
        from cleanup.report.as_live import Screen  # noqa: PLC0415 - slow to import, and for a terminal alone

        with Screen() as screen:
            return _until_the_end(look, screen.draw, is_ended)
    render = dated_line if output_format is OutputFormat.TEXT else render_json_line
    return _until_the_end(look, lambda one: click.echo(render(one), nl=False), is_ended)


def _until_the_end(look: Callable[[], Look], show: Callable[[Look], None], is_ended: Callable[[], bool]) -> Look | None:
    """The last look; None where `is_ended`, which waits for the time of the next one, says that nobody wants it."""
    while True:
        one = look()
        show(one)
        # A pipe may be full of lines that somebody waits for.
        sys.stdout.flush()
        if one.is_over:
            return one
        if is_ended():
            return None
