"""cleanup rollback: undo a run, or a part of it."""

from pathlib import Path

import click

from cleanup.commands.metrics import metrics_options, metrics_place
from cleanup.commands.options import OutputFormat, format_option, job_options, load_job, max_runtime_option
from cleanup.commands.progress import RUN, JobProgress
from cleanup.commands.run_ending import print_run
from cleanup.commands.selecting import selection_options
from cleanup.db.database import Database
from cleanup.db.selection import Selection
from cleanup.engine.archive import restore_log
from cleanup.engine.job import Job
from cleanup.engine.rollback_preview import preview_rollback
from cleanup.engine.rolling_back import APPLICATION_NAME, roll_back
from cleanup.errors import UsageInvalid
from cleanup.report.as_json import render_json
from cleanup.report.as_text import render_rollback_preview
from cleanup.vocabulary import ExitStatus

_CONFLICTS_SHOWN = 20
_CONFLICTS_LISTED = 10_000


@click.command("rollback")
@job_options
@click.argument("run_id", metavar="RUN", type=int)
@selection_options
@click.option("--dry-run", is_flag=True, help="Say what would happen, and the digest that approves it; write nothing.")
@click.option(
    "--archive",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the run was purged: take its log back from this archive first.",
)
@click.option("--lanes", type=click.IntRange(1, 64), help="Worker processes, instead of the config's number.")
@max_runtime_option
@metrics_options
@format_option
def command(
    config_file: Path,
    dsn: str,
    run_id: int,
    dry_run: bool,
    archive: Path | None,
    lanes: int | None,
    max_runtime: float | None,
    metrics_port: int | None,
    metrics_file: Path | None,
    output_format: OutputFormat,
    selection: Selection,
) -> None:
    """Undo a run, or what the options select of it.

    A link goes back to its place even where its author has edited the text elsewhere. Where its place is not
    certain any more, the link is listed as a conflict and the text is left as it is.
    """
    job = load_job(config_file, dsn, lanes, max_runtime)
    if archive is not None:
        _restore(dsn, run_id, archive, dry_run=dry_run)
    if dry_run:
        _preview(job, run_id, selection, output_format)
        return
    with JobProgress(job, RUN, metrics_place(job.config.metrics, metrics_port, metrics_file)) as progress:
        run = roll_back(job, run_id, selection, progress)
    print_run(dsn, run.run_id, output_format)


def _restore(dsn: str, run_id: int, archive: Path, *, dry_run: bool) -> None:
    if dry_run:
        raise UsageInvalid(
            "a dry run writes nothing, and --archive would give the run its log back",
            hint=f"`cleanup log {run_id} --restore {archive}` first, then the dry run.",
        )
    database = Database(dsn, APPLICATION_NAME)
    try:
        restore_log(database, archive, run_id)
    finally:
        database.close()


def _preview(job: Job, run_id: int, selection: Selection, output_format: OutputFormat) -> None:
    as_text = output_format is OutputFormat.TEXT
    preview = preview_rollback(job, run_id, selection, _CONFLICTS_SHOWN if as_text else _CONFLICTS_LISTED)
    click.echo(render_rollback_preview(preview) if as_text else render_json(preview), nl=False)
    if preview.leaves_work:
        raise SystemExit(ExitStatus.LEFT_OR_REFUSED)
