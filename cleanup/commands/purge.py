"""cleanup purge: delete what a closed run keeps of the removed links, once it has been kept for long enough."""

from collections.abc import Iterator
from dataclasses import dataclass

import click

from cleanup.commands.options import OutputFormat, dsn_option, format_option
from cleanup.db.archives import ExportPlace, export_places
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.ledger import require_ledger
from cleanup.db.purges import Purge, purge_in_force, purge_plan, purge_run
from cleanup.errors import LogPurged, UsageInvalid
from cleanup.event_catalogue import Event
from cleanup.log import tell
from cleanup.report.as_json import render_json
from cleanup.report.as_text import shown


@dataclass(frozen=True, slots=True)
class _Purged:
    """The proof, and where texts may still lie outside of the database."""

    purge: Purge
    exports: tuple[ExportPlace, ...]


@click.command("purge")
@dsn_option
@click.argument("run_id", metavar="RUN", type=int, required=False)
@click.option("--plan", "plan_id", metavar="PLAN", type=int, help="Instead: the findings of a plan nobody has applied.")
@click.option("--force", is_flag=True, help="Before the date until which the log is to be kept.")
@click.option("--reason", help="Why; goes into the proof. Needed with --force and with --plan.")
@format_option
def command(
    dsn: str, run_id: int | None, plan_id: int | None, force: bool, reason: str | None, output_format: OutputFormat
) -> None:
    """Delete a run's change log, and with a plan's last log its findings. Counts, heads and a proof stay."""
    if (run_id is None) == (plan_id is None):
        raise UsageInvalid("purge one thing", hint="give either a RUN or --plan PLAN.")
    if plan_id is not None:
        _purge_findings(dsn, plan_id, reason, output_format)
        return
    assert run_id is not None
    if force != bool((reason or "").strip()):
        raise UsageInvalid("--force and --reason go together", hint="say why the log is to go before its date.")
    database = Database(dsn, "cleanup purge")
    try:
        purged = _purge_once(database, run_id, reason)
    finally:
        database.close()
    click.echo(
        render_json(purged) if output_format is OutputFormat.JSON else "\n".join(_lines(purged)) + "\n", nl=False
    )


def _purge_findings(dsn: str, plan_id: int, reason: str | None, output_format: OutputFormat) -> None:
    if not (reason or "").strip():
        raise UsageInvalid("--plan needs a --reason", hint="say why nobody will want to see its findings again.")
    database = Database(dsn, "cleanup purge")
    try:
        findings = database.transact(lambda connection: _delete_findings(connection, plan_id, str(reason)))
    finally:
        database.close()
    tell(Event.PLAN_PURGED, plan=plan_id, findings=findings)
    as_json = output_format is OutputFormat.JSON
    line = f"plan {plan_id}: {findings:,} findings deleted; its digest and its counts stay\n"
    click.echo(render_json({"plan_id": plan_id, "findings": findings}) if as_json else line, nl=False)


def _delete_findings(connection: Connection, plan_id: int, reason: str) -> int:
    require_ledger(connection)
    return purge_plan(connection, plan_id, reason)


def _purge_once(database: Database, run_id: int, reason: str | None) -> _Purged:
    """Purge the run; where that was done before, perhaps by this very command, say so."""
    try:
        purged = database.transact(lambda connection: _purge(connection, run_id, reason))
    except LogPurged:
        return database.transact(lambda connection: _past(connection, run_id), read_only=True)
    tell(Event.RUN_PURGED, run=run_id, log_rows=purged.purge.log_rows, log_head=purged.purge.log_head.hex())
    return purged


def _purge(connection: Connection, run_id: int, reason: str | None) -> _Purged:
    require_ledger(connection)
    return _Purged(purge_run(connection, run_id, reason), tuple(export_places(connection, run_id)))


def _past(connection: Connection, run_id: int) -> _Purged:
    proof = purge_in_force(connection, run_id)
    assert proof is not None
    return _Purged(proof, tuple(export_places(connection, run_id)))


def _lines(purged: _Purged) -> Iterator[str]:
    proof = purged.purge
    at = proof.purged_at.isoformat(timespec="seconds")
    yield f"run {proof.run_id} was purged at {at} by {shown(proof.purged_by)}"
    yield f"  deleted: {proof.log_rows:,} log rows, {proof.findings:,} findings"
    if proof.forced:
        yield f"  before its date {proof.retain_until.isoformat(timespec='seconds')}: {shown(proof.reason)}"
    yield f"  the head stays: {proof.log_head.hex()}"
    if not purged.exports:
        yield "  no archive was ever made of it: the run can not be rolled back any more"
    for export in purged.exports:
        yield f"  holds the removed links until somebody deletes it: {shown(export.place)} ({export.format})"
