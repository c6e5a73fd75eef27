"""cleanup report: what a plan would do, or what a run has done, for those who sign and those who look afterwards."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource

from cleanup.commands.options import OutputFormat, config_option, dsn_option, format_option, load_job, look
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import PlanState, get_plan
from cleanup.errors import PlanUnfinished, UsageInvalid
from cleanup.links.policy import load_policy
from cleanup.report.as_csv import write_csv_tables
from cleanup.report.as_json import render_json
from cleanup.report.as_text import render_plan, render_run, shown
from cleanup.report.diff import write_diff
from cleanup.report.files import new_file
from cleanup.report.number_tables import NumberTable, plan_tables
from cleanup.report.plan_model import PlanReport
from cleanup.report.run_model import RunReport, detailed_run_report
from cleanup.report.run_numbers import run_tables
from cleanup.report.sign_off import ReportOrder, sign_off_report

_LEFT_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class _Files:
    """Where a report goes instead of the terminal."""

    page: Path | None
    tables: Path | None
    diff: Path | None

    @property
    def any(self) -> bool:
        """Whether a file was asked for."""
        return any((self.page, self.tables, self.diff))


@click.command("report")
@config_option
@dsn_option
@click.argument("plan_id", metavar="[PLAN]", type=int, required=False)
@click.option("--run", "run_id", type=int, metavar="RUN", help="The report of a run instead.")
@click.option(
    "--policy", type=click.Path(path_type=Path), help="The plan's policy file, where there is no config that names it."
)
@click.option("--html", "page", metavar="FILE", type=click.Path(path_type=Path), help="Write the page to be signed.")
@click.option("--csv", "tables", metavar="DIR", type=click.Path(path_type=Path), help="Write each table as a CSV file.")
@click.option(
    "--diff",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write every finding with its links before and after: FILE.jsonl or FILE.csv.",
)
@click.option(
    "--samples",
    type=click.IntRange(0, 100),
    help="How many links of each class to show (2, and none on a terminal).",
)
@format_option
@click.pass_context
def command(
    context: click.Context,
    config_file: Path,
    dsn: str,
    plan_id: int | None,
    run_id: int | None,
    policy: Path | None,
    page: Path | None,
    tables: Path | None,
    diff: Path | None,
    samples: int | None,
    output_format: OutputFormat,
) -> None:
    """Print the report of a plan, or of a run with --run; or write it to files, which hold parts of posts."""
    files = _Files(page, tables, diff)
    if plan_id is not None and run_id is None:
        named = context.get_parameter_source("config_file") is not ParameterSource.DEFAULT
        job = load_job(config_file, dsn) if named or config_file.exists() else None
        if samples is None:
            samples = 2 if files.any or output_format is OutputFormat.JSON else 0
        order = ReportOrder(plan_id, job, load_policy(policy) if policy else None, samples)
        _report_plan(dsn, order, files, output_format)
    elif run_id is not None and plan_id is None:
        if diff is not None:
            raise UsageInvalid("--diff goes with a plan", hint=f"`cleanup log {run_id}` says what a run has changed.")
        _report_run(dsn, run_id, files, output_format)
    else:
        raise UsageInvalid("report takes either a plan or --run RUN", hint="`cleanup status` lists both.")


def _report_plan(dsn: str, order: ReportOrder, files: _Files, output_format: OutputFormat) -> None:
    if files.diff is not None or files.tables is not None:
        look(dsn, "report", lambda connection: _require_finished(connection, order.plan_id))
    if files.diff is not None:
        _write_diff(dsn, order, files.diff)
        if files.page is None and files.tables is None:
            return
    report = look(dsn, "report", lambda connection: sign_off_report(connection, order))
    if not files.any:
        click.echo(render_json(report) if output_format is OutputFormat.JSON else render_plan(report), nl=False)
        return
    _write(report, plan_tables(report), files)


def _require_finished(connection: Connection, plan_id: int) -> None:
    """Raise PlanUnfinished: a page and a terminal say on their first line that numbers are partial, these can not."""
    require_ledger(connection)
    plan = get_plan(connection, plan_id)
    if plan.state is not PlanState.FINISHED:
        raise PlanUnfinished(
            f"plan {plan_id} is {plan.state.value}: its CSV tables, or its --diff, would look whole and are not",
            hint="`cleanup plan` finishes it, or makes another; the terminal, --html and --format json show what there "
            "is, and say so.",
        )


def _write_diff(dsn: str, order: ReportOrder, path: Path) -> None:
    if path.suffix not in (".jsonl", ".csv"):
        raise UsageInvalid(f"--diff {shown(path)}: no such form", hint="name a FILE.jsonl or a FILE.csv.")
    database = Database(dsn, "cleanup report")
    try:
        with new_file(path) as file:
            findings = write_diff(database, order.plan_id, order.job, file, as_csv=path.suffix == ".csv")
    finally:
        database.close()
    click.echo(f"{findings:,} findings written to {shown(path)}; it holds parts of posts: keep it as safe as them")


def _report_run(dsn: str, run_id: int, files: _Files, output_format: OutputFormat) -> None:
    report = look(dsn, "report", lambda connection: detailed_run_report(connection, run_id, _LEFT_SHOWN))
    if not files.any:
        click.echo(render_json(report) if output_format is OutputFormat.JSON else render_run(report), nl=False)
        return
    _write(report, run_tables(report), files)


def _write(report: PlanReport | RunReport, tables: tuple[NumberTable, ...], files: _Files) -> None:
    if files.page is not None:
        # Here alone, since the template engine is slow to start.
        from cleanup.report.as_html import html_of_plan, html_of_run  # noqa: PLC0415

        content = html_of_plan(report) if isinstance(report, PlanReport) else html_of_run(report)
        with new_file(files.page) as file:
            file.write(content)
        click.echo(f"page written to {shown(files.page)}")
    if files.tables is not None:
        written = write_csv_tables(tables, files.tables)
        click.echo(f"{len(written)} tables written to {shown(files.tables)}")
