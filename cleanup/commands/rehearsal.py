"""What apply --rehearse says: while it works, and at its end."""

from collections.abc import Iterator

import click

from cleanup.commands.options import OutputFormat
from cleanup.commands.progress import TerminalBar
from cleanup.engine.job import Job
from cleanup.engine.rehearsing import Rehearsal, rehearse_plan
from cleanup.report.as_json import render_json
from cleanup.report.as_text import shown, shown_key, table_lines
from cleanup.vocabulary import ExitStatus

_REFUSED_SHOWN = 20


def rehearse(job: Job, plan_id: int, limit: int | None, output_format: OutputFormat) -> None:
    """Rehearse a plan and print what it came to; exit with 1 where a run would leave something."""
    with TerminalBar() as bar:
        rehearsal = rehearse_plan(job, plan_id, limit, lambda so_far: _draw(bar, so_far))
    if output_format is OutputFormat.JSON:
        click.echo(render_json(rehearsal), nl=False)
    else:
        click.echo("\n".join(_lines(rehearsal)))
    if rehearsal.leaves_work:
        raise SystemExit(ExitStatus.LEFT_OR_REFUSED)


def _draw(bar: TerminalBar, so_far: Rehearsal) -> None:
    share = so_far.findings / so_far.planned if so_far.planned else 1.0
    bar.draw_line(f"rehearsal of plan {so_far.plan_id}", share, f"{so_far.findings:,}/{so_far.planned:,} findings")


def _lines(rehearsal: Rehearsal) -> Iterator[str]:
    yield f"rehearsal of plan {rehearsal.plan_id}: every batch was rolled back, nothing was changed"
    yield (
        f"  findings {rehearsal.findings:,} of {rehearsal.planned:,}; batches {rehearsal.batches:,}; "
        f"{rehearsal.seconds:.1f} s in one lane; edited since the plan {rehearsal.edited:,}"
    )
    mean = rehearsal.lock_ms / rehearsal.batches if rehearsal.batches else 0.0
    yield f"  locks held for {mean:.0f} ms a batch, at most {rehearsal.longest_lock_ms:.0f} ms"
    each = rehearsal.wal_bytes / rehearsal.findings if rehearsal.findings else 0.0
    yield f"  the server's WAL grew by {rehearsal.wal_bytes:,} bytes meanwhile, {each:,.0f} a finding"
    yield from table_lines(
        ("outcome", "findings", "links"),
        ((name, findings, rehearsal.links.get(name, 0)) for name, findings in sorted(rehearsal.outcomes.items())),
    )
    for one in rehearsal.refused[:_REFUSED_SHOWN]:
        yield f"  refused: {one.leaf_name}.{one.column_name} {shown_key(one.key)}: {shown(one.detail)}"
    if len(rehearsal.refused) > _REFUSED_SHOWN:
        yield f"  refused: {len(rehearsal.refused) - _REFUSED_SHOWN:,} more; --format json lists them all"
    yield f"  digest  {rehearsal.digest}"
