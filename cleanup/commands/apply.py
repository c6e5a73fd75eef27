"""cleanup apply: run an approved plan from the cutover on."""

from collections.abc import Callable
from pathlib import Path

import click

from cleanup.commands.countdown import CutoverCountdown
from cleanup.commands.metrics import metrics_options, metrics_place
from cleanup.commands.options import OutputFormat, format_option, job_options, load_job, max_runtime_option
from cleanup.commands.progress import RUN, JobProgress
from cleanup.commands.rehearsal import rehearse
from cleanup.commands.run_ending import print_run
from cleanup.engine.applying import apply_plan
from cleanup.engine.cutover_wait import Countdown, wait_for_cutover
from cleanup.errors import UsageInvalid


@click.command("apply")
@job_options
@click.argument("plan_id", metavar="PLAN", type=int)
@click.option("--lanes", type=click.IntRange(1, 64), help="Worker processes, instead of the config's number.")
@click.option("--canary", metavar="N", type=click.IntRange(1), help="Stop after about N findings, for a look.")
@click.option("--newest-first", is_flag=True, help="Take the last chunks first: keys mostly rise with time.")
@click.option("--wait", is_flag=True, help="Wait for the cutover, by the server's clock, and then apply.")
@click.option("--rehearse", "rehearsing", is_flag=True, help="Do all writes, and roll each batch back; at any time.")
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Rehearse at most so many findings.")
@max_runtime_option
@metrics_options
@format_option
def command(
    config_file: Path,
    dsn: str,
    plan_id: int,
    lanes: int | None,
    canary: int | None,
    newest_first: bool,
    wait: bool,
    rehearsing: bool,
    limit: int | None,
    max_runtime: float | None,
    metrics_port: int | None,
    metrics_file: Path | None,
    output_format: OutputFormat,
) -> None:
    """Apply an approved plan, or go on with its run."""
    if rehearsing:
        if wait or canary or newest_first or lanes or max_runtime or metrics_file or metrics_port is not None:
            raise UsageInvalid("--rehearse goes with --limit alone", hint="it has one lane, and waits for nothing.")
        rehearse(load_job(config_file, dsn), plan_id, limit, output_format)
        return
    if limit is not None:
        raise UsageInvalid("--limit goes with --rehearse", hint="--canary N stops a run after N findings.")
    job = load_job(config_file, dsn, lanes, max_runtime)
    with JobProgress(job, RUN, metrics_place(job.config.metrics, metrics_port, metrics_file)) as progress:
        if wait:
            wait_for_cutover(job, plan_id, _seen_by(CutoverCountdown(), progress.wait))
            # Read again: what holds now is compared with the plan, and the runtime begins.
            progress.job = job = load_job(config_file, dsn, lanes, max_runtime)
        run = apply_plan(job, plan_id, progress, canary=canary, newest_first=newest_first)
    print_run(dsn, run.run_id, output_format)


def _seen_by(*watchers: Callable[[Countdown], None]) -> Callable[[Countdown], None]:
    def on_tick(countdown: Countdown) -> None:
        for watcher in watchers:
            watcher(countdown)

    return on_tick
