"""cleanup rollback: undo a run."""

from pathlib import Path

import click

from cleanup.commands.options import OutputFormat, format_option, job_options, load_job
from cleanup.commands.progress import RunProgress
from cleanup.commands.run_ending import print_run
from cleanup.engine.rolling_back import roll_back


@click.command("rollback")
@job_options
@click.argument("run_id", metavar="RUN", type=int)
@click.option("--lanes", type=click.IntRange(1, 64), help="Worker processes, instead of the config's number.")
@format_option
def command(config_file: Path, dsn: str, run_id: int, lanes: int | None, output_format: OutputFormat) -> None:
    """Undo a run exactly; what an author has edited since is listed as a conflict and left."""
    run = roll_back(load_job(config_file, dsn, lanes), run_id, RunProgress())
    print_run(dsn, run.run_id, output_format)
