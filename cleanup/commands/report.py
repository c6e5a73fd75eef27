"""cleanup report: what a plan would do, or what a run has done."""

from pathlib import Path
from typing import Final

import click

from cleanup.commands.options import OutputFormat, dsn_option, format_option, look
from cleanup.errors import UsageInvalid
from cleanup.links.policy import load_policy
from cleanup.report.as_json import render_json
from cleanup.report.as_text import render_plan, render_run
from cleanup.report.plan_model import plan_report
from cleanup.report.run_model import run_report

_LEFT_SHOWN: Final = 100


@click.command("report")
@dsn_option
@click.argument("plan_id", metavar="[PLAN]", type=int, required=False)
@click.option("--run", "run_id", type=int, metavar="RUN", help="The report of a run instead.")
@click.option("--policy", type=click.Path(path_type=Path), help="The plan's policy file: lists its readings too.")
@format_option
def command(
    dsn: str, plan_id: int | None, run_id: int | None, policy: Path | None, output_format: OutputFormat
) -> None:
    """Print the report of a plan, or of a run with --run."""
    as_json = output_format is OutputFormat.JSON
    if plan_id is not None and run_id is None:
        rules = load_policy(policy) if policy else None
        plan = look(dsn, "report", lambda connection: plan_report(connection, plan_id, rules))
        click.echo(render_json(plan) if as_json else render_plan(plan), nl=False)
    elif run_id is not None and plan_id is None:
        run = look(dsn, "report", lambda connection: run_report(connection, run_id, _LEFT_SHOWN))
        click.echo(render_json(run) if as_json else render_run(run), nl=False)
    else:
        raise UsageInvalid("report takes either a plan or --run RUN", hint="`cleanup status` lists both.")
