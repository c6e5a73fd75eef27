"""cleanup apply: run an approved plan from the cutover on."""

from pathlib import Path

import click

from cleanup.commands.options import OutputFormat, format_option, job_options, load_job, max_runtime_option
from cleanup.commands.progress import RunProgress
from cleanup.commands.run_ending import print_run
from cleanup.engine.applying import apply_plan


@click.command("apply")
@job_options
@click.argument("plan_id", metavar="PLAN", type=int)
@click.option("--lanes", type=click.IntRange(1, 64), help="Worker processes, instead of the config's number.")
@max_runtime_option
@format_option
def command(
    config_file: Path, dsn: str, plan_id: int, lanes: int | None, max_runtime: float | None, output_format: OutputFormat
) -> None:
    """Apply an approved plan, or go on with its run."""
    run = apply_plan(load_job(config_file, dsn, lanes, max_runtime), plan_id, RunProgress())
    print_run(dsn, run.run_id, output_format)
