"""cleanup review: what the policy leaves to a person, and the person's decisions."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from cleanup.commands.options import OutputFormat, format_option, job_options, load_job
from cleanup.engine.reviewing import AwaitingClass, ReviewImport, count_awaiting, export_review, import_review
from cleanup.errors import UsageInvalid
from cleanup.report.as_json import render_json
from cleanup.report.as_text import shown, table_lines


@click.command("review")
@job_options
@click.argument("plan_id", metavar="PLAN", type=int)
@click.option("--export", "export_file", type=click.Path(path_type=Path), help="Write what waits to a .jsonl or .csv.")
@click.option("--import", "import_file", type=click.Path(path_type=Path), help="Decide as that file says: a new plan.")
@click.option("--by", "reviewer", help="Who decided; with --import.")
@format_option
def command(
    config_file: Path,
    dsn: str,
    plan_id: int,
    export_file: Path | None,
    import_file: Path | None,
    reviewer: str | None,
    output_format: OutputFormat,
) -> None:
    """Show or export what waits for a person in a plan, or import the decisions; the file holds links of posts."""
    if export_file is not None and import_file is not None:
        raise UsageInvalid("--export and --import do not go together", hint="give them one after the other.")
    if (import_file is not None) != bool((reviewer or "").strip()):
        raise UsageInvalid("--import and --by go together", hint="say who decided.")
    job = load_job(config_file, dsn)
    result: ReviewImport | Sequence[AwaitingClass] | dict[str, int | str]
    if import_file is not None:
        result = import_review(job, plan_id, import_file, reviewer or "")
        lines = _import_lines(result)
    elif export_file is not None:
        spans = export_review(job, plan_id, export_file)
        result = {"plan_id": plan_id, "file": str(export_file), "spans": spans}
        lines = _export_lines(plan_id, export_file, spans)
    else:
        result = count_awaiting(job, plan_id)
        lines = _awaiting_lines(plan_id, result)
    click.echo(render_json(result) if output_format is OutputFormat.JSON else "\n".join(lines) + "\n", nl=False)


def _awaiting_lines(plan_id: int, classes: Sequence[AwaitingClass]) -> Iterator[str]:
    yield f"plan {plan_id}: {sum(one.spans for one in classes):,} links wait for a person"
    yield from table_lines(
        ("platform", "kind", "host", "reason", "links"),
        ((one.platform, one.kind, one.host, one.reason, one.spans) for one in classes),
    )
    if classes:
        yield f"  to decide them: cleanup review {plan_id} --export FILE, and then --import FILE --by NAME"


def _export_lines(plan_id: int, file: Path, spans: int) -> Iterator[str]:
    yield f"plan {plan_id}: {spans:,} links that wait for a person written to {shown(file)}"
    yield "  it holds texts of posts: keep it as safe as the posts, and delete it when its time has come"
    yield f"  fill in redact or keep, and: cleanup review {plan_id} --import {shown(file)} --by NAME"


def _import_lines(done: ReviewImport) -> Iterator[str]:
    again = ", which this file had made before" if done.made_before else ""
    yield f"plan {done.plan_id}: plan {done.reviewed_plan_id} with the decisions{again}"
    yield from table_lines(("decision", "links"), sorted(done.decided.items()))
    if done.edited:
        yield f"  {done.edited:,} links not decided: their posts were edited or deleted since the plan"
    yield f"  digest  {done.digest}"
    yield f"  what still waits: cleanup review {done.plan_id}"
    yield f"  to sign it: cleanup report {done.plan_id}, then cleanup approve {done.plan_id} --digest {done.digest}"
