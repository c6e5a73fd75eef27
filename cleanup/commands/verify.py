"""cleanup verify: what is left, and whether the log is whole; writes nothing."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from cleanup.commands.options import OutputFormat, format_option, job_options, load_job
from cleanup.commands.progress import TerminalBar
from cleanup.db.runs import Run
from cleanup.engine.log_chains import LogProblem
from cleanup.engine.verifying import Verification, verify_posts, verify_run
from cleanup.report.as_json import render_json
from cleanup.report.as_text import shown_key
from cleanup.vocabulary import ExitStatus


@click.command("verify")
@job_options
@click.argument("run_id", metavar="[RUN]", type=int, required=False)
@format_option
def command(config_file: Path, dsn: str, run_id: int | None, output_format: OutputFormat) -> None:
    """Prove a run and sweep what was written since its plan; without RUN, read every post again."""
    job = load_job(config_file, dsn)
    with TerminalBar() as bar:
        on_rows = _RowsRead(bar)
        result = verify_posts(job, on_rows) if run_id is None else verify_run(job, run_id, on_rows)
    if output_format is OutputFormat.JSON:
        click.echo(render_json(result), nl=False)
    else:
        click.echo("\n".join(_lines(result)))
    if not result.is_clean:
        raise SystemExit(ExitStatus.LEFT_OR_REFUSED)


class _RowsRead:
    """Draws how many rows were read, and how fast; how many there are, nobody knows before."""

    def __init__(self, bar: TerminalBar) -> None:
        self._bar = bar
        self._started = time.monotonic()

    def __call__(self, rows: int) -> None:
        seconds = max(time.monotonic() - self._started, 0.1)
        self._bar.draw_line("verify", None, f"{rows:,} rows read", f"{rows / seconds:,.0f}/s")


def _lines(result: Verification) -> Iterator[str]:
    what = "all configured posts" if result.run is None else f"run {result.run.run_id}"
    yield f"verify {what}: {'nothing is left' if result.is_clean else 'something is left'}"
    yield f"  posts read {result.sweep.rows_read:,}"
    yield f"  values with links in scope that nobody planned: {result.sweep.unplanned:,}"
    for place in result.sweep.examples:
        yield f"    unplanned: {place.leaf_name}.{place.column_name} {shown_key(place.key)}"
    if result.sweep.unplanned:
        yield f"  to handle them: {_way_out(result)}"
    for left in result.left:
        yield f"  left by the run: {left.leaf_name}.{left.column_name} {shown_key(left.key)}: {left.outcome}"
    if result.awaiting_review:
        yield f"  links that wait for a person: {result.awaiting_review:,}; they can be decided in a new plan's review"
    if result.run is not None:
        values = ", ".join(f"{name} {number:,}" for name, number in sorted(result.values.items())) or "none"
        yield f"  logged values: {values}"
        yield from _log_lines(result.run, result.log_problems)


def _way_out(result: Verification) -> str:
    if result.run is not None and result.delta_is_enough:
        return f"cleanup plan --since {result.run.plan_id}, then approve and apply that delta plan"
    return "cleanup plan, then approve and apply that plan; a delta plan would not read all of them"


def _log_lines(run: Run, problems: Sequence[LogProblem]) -> Iterator[str]:
    head = run.log_head.hex() if run.log_head else "none"
    yield f"  change log: {'NOT WHOLE' if problems else 'whole'}, head {head}"
    for problem in problems:
        yield f"    {_named(problem)}{problem.what}"


def _named(problem: LogProblem) -> str:
    if problem.finding_number is None:
        return ""
    if problem.key is None:
        return f"finding {problem.finding_number}: "
    where = f"{problem.leaf_name}.{problem.column_name} {shown_key(problem.key)}"
    return f"finding {problem.finding_number} ({where}): "
