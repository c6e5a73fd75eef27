"""cleanup check: is everything ready, and who else would see the change? Writes nothing."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from cleanup.commands.options import OutputFormat, format_option, job_options, load_job
from cleanup.engine.checks.checking import check_job
from cleanup.engine.checks.preflight import require_no_block
from cleanup.engine.checks.result import CheckResult, Level
from cleanup.report.as_json import render_json

_SEVEREST_FIRST: Final = (Level.BLOCK, Level.WARN, Level.OK)


@click.command("check")
@job_options
@format_option
def command(config_file: Path, dsn: str, output_format: OutputFormat) -> None:
    """Look at everything the job depends on, and where else links may be; exit 3 where something blocks."""
    checks = check_job(load_job(config_file, dsn))
    if output_format is OutputFormat.JSON:
        click.echo(render_json(checks), nl=False)
    else:
        click.echo("\n".join(_lines(checks.results)))
    require_no_block(checks.results)


def _lines(results: Sequence[CheckResult]) -> Iterator[str]:
    counts = [f"{sum(result.level is level for result in results)} {level.value}" for level in _SEVEREST_FIRST]
    yield f"check: {', '.join(counts)}"
    for level in _SEVEREST_FIRST:
        for result in results:
            if result.level is level:
                taken = " (acknowledged)" if result.acknowledged else ""
                yield f"{level.value:5} {result.place}: {result.value}{taken}"
                if result.hint:
                    yield f"      HINT: {result.hint}"
