"""cleanup plan: scan everything, write nothing to the posts, say exactly what would change."""

from dataclasses import replace
from pathlib import Path

import click

from cleanup.commands.metrics import metrics_options, metrics_place
from cleanup.commands.options import OutputFormat, format_option, job_options, load_job, look, max_runtime_option
from cleanup.commands.progress import PLAN, JobProgress
from cleanup.engine.planning import make_plan
from cleanup.report.as_json import render_json
from cleanup.report.as_text import render_plan_summary
from cleanup.report.plan_model import plan_report


@click.command("plan")
@job_options
@click.option("--since", type=int, metavar="PLAN", help="Only rows written since that plan began: a delta plan.")
@click.option("--lanes", type=click.IntRange(1, 64), help="Worker processes, instead of the config's number.")
@click.option("--scan-dsn", default="", help="Read the posts from there: a standby of the same database.")
@max_runtime_option
@metrics_options
@format_option
def command(
    config_file: Path,
    dsn: str,
    since: int | None,
    lanes: int | None,
    scan_dsn: str,
    max_runtime: float | None,
    metrics_port: int | None,
    metrics_file: Path | None,
    output_format: OutputFormat,
) -> None:
    """Make a plan, or go on with the one that was interrupted."""
    if since is not None and scan_dsn:
        raise click.UsageError("--since reads what was written since from the primary: leave --scan-dsn out.")
    job = replace(load_job(config_file, dsn, lanes, max_runtime), scan_dsn=scan_dsn)
    with JobProgress(job, PLAN, metrics_place(job.config.metrics, metrics_port, metrics_file)) as progress:
        plan = make_plan(job, since, progress)
    report = look(dsn, "report", lambda connection: plan_report(connection, plan.plan_id, job.policy))
    click.echo(render_json(report) if output_format is OutputFormat.JSON else render_plan_summary(report), nl=False)
