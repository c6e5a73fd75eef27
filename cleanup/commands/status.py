"""cleanup status: plans and runs, from any host."""

from typing import Final

import click

from cleanup.commands.options import OutputFormat, dsn_option, format_option, look
from cleanup.commands.watching import watch
from cleanup.db.connection import Connection
from cleanup.db.ledger import require_ledger
from cleanup.errors import UsageInvalid
from cleanup.report.as_json import render_json
from cleanup.report.as_lines import look_text
from cleanup.report.as_text import render_run
from cleanup.report.progress_model import PlanLook, RunLook, look_at_plan, look_at_run
from cleanup.report.run_model import RunReport, run_report
from cleanup.report.status_model import read_status, render_status

_LEFT_SHOWN: Final = 20


@click.command("status")
@dsn_option
@click.argument("run_id", metavar="[RUN]", type=int, required=False)
@click.option("--plan", "plan_id", metavar="PLAN", type=int, help="How far a plan has come, instead of a run.")
@click.option(
    "--watch",
    "watching",
    is_flag=True,
    help="Look again and again until it ends, and exit as it ended; without RUN or PLAN, the newest one at work.",
)
@click.option(
    "--every",
    "every_seconds",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 3_600),
    default=2.0,
    show_default=True,
    help="How often --watch looks.",
)
@format_option
def command(
    dsn: str,
    run_id: int | None,
    plan_id: int | None,
    watching: bool,
    every_seconds: float,
    output_format: OutputFormat,
) -> None:
    """Show one run or plan, or all of them: progress, rate, outcomes, lanes, and what holds it."""
    if run_id is not None and plan_id is not None:
        raise UsageInvalid("RUN and --plan were both given", hint="name a run or a plan.")
    if watching:
        watch(dsn, run_id, plan_id, every_seconds, output_format)
        return
    as_json = output_format is OutputFormat.JSON
    if run_id is not None:
        report, work = look(dsn, "status", lambda connection: _one_run(connection, run_id))
        click.echo(render_json(report) if as_json else render_run(report) + _at_work(work), nl=False)
    elif plan_id is not None:
        plan = look(dsn, "status", lambda connection: _one_plan(connection, plan_id))
        click.echo(render_json(plan) if as_json else look_text(plan), nl=False)
    else:
        status = look(dsn, "status", read_status)
        click.echo(render_json(status) if as_json else render_status(status), nl=False)


def _one_run(connection: Connection, run_id: int) -> tuple[RunReport, RunLook]:
    return run_report(connection, run_id, _LEFT_SHOWN), look_at_run(connection, run_id)


def _one_plan(connection: Connection, plan_id: int) -> PlanLook:
    require_ledger(connection)
    return look_at_plan(connection, plan_id)


def _at_work(work: RunLook) -> str:
    return "" if work.is_over else look_text(work)
