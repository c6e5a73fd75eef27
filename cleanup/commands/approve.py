"""cleanup approve: sign a plan by its digest."""

import binascii
from dataclasses import dataclass
from pathlib import Path

import click

from cleanup.commands.options import job_options, load_job
from cleanup.commands.selecting import selection_options
from cleanup.db.approvals import Approval, Approved, approve
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import get_plan
from cleanup.db.selection import Selection
from cleanup.engine.guards import require_finished
from cleanup.engine.job import Job
from cleanup.engine.rollback_source import open_source
from cleanup.errors import DigestDiffers, UsageInvalid


@click.command("approve")
@job_options
@click.argument("plan_id", metavar="[PLAN]", type=int, required=False)
@click.option("--rollback", "source_run_id", type=int, help="Approve the rollback of this run instead of a plan.")
@selection_options
@click.option("--digest", help="The digest of the report that was read; asked for where it is not given.")
@click.option("--by", "approver", required=True, help="Who signs.")
@click.option("--ticket", required=True, help="The change ticket.")
def command(
    config_file: Path,
    dsn: str,
    plan_id: int | None,
    source_run_id: int | None,
    selection: Selection,
    digest: str | None,
    approver: str,
    ticket: str,
) -> None:
    """Approve a plan, or a rollback, by its digest: what was signed is what runs."""
    job = load_job(config_file, dsn)
    typed = digest or click.prompt("digest of the report that you have read")
    database = Database(dsn, "cleanup approve")
    try:
        approval = database.transact(
            lambda connection: _sign(
                connection, job, _subject(connection, job, plan_id, source_run_id, selection), typed, approver, ticket
            )
        )
    finally:
        database.close()
    name = f"plan {plan_id}" if source_run_id is None else f"rollback of run {source_run_id}"
    click.echo(
        f"{name} approved by {approval.approver} as {approval.approved_by}, ticket {approval.ticket}, "
        f"good until {approval.expires_at.isoformat(timespec='seconds')}"
    )


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is signed, its digest, and the verb that shows it."""

    approved: Approved
    digest: bytes
    report: str


def _subject(
    connection: Connection, job: Job, plan_id: int | None, source_run_id: int | None, selection: Selection
) -> _Subject:
    require_ledger(connection)
    if (plan_id is None) == (source_run_id is None):
        raise UsageInvalid("approve one thing", hint="give either a PLAN or --rollback RUN.")
    if plan_id is not None:
        if not selection.is_whole:
            raise UsageInvalid("a plan is approved whole", hint="options that select a part go with --rollback.")
        digest = require_finished(get_plan(connection, plan_id))
        return _Subject(Approved(plan_id), digest, f"cleanup report {plan_id}")
    assert source_run_id is not None
    source = open_source(connection, job, source_run_id, selection)
    approved = Approved(source.plan.plan_id, source_run_id, selection.stored())
    return _Subject(approved, source.digest, f"cleanup rollback {source_run_id} --dry-run")


def _sign(connection: Connection, job: Job, subject: _Subject, typed: str, approver: str, ticket: str) -> Approval:
    if _bytes_of(typed) != subject.digest:
        raise DigestDiffers(
            f"{typed!r} is not the digest of what is to be approved",
            hint=f"read `{subject.report}` and give the digest at its end.",
        )
    hours = job.config.approval.expires_after_hours
    approval = approve(connection, subject.approved, subject.digest, approver, ticket, hours)
    name = "plan.approved" if subject.approved.source_run_id is None else "rollback.approved"
    run_id = subject.approved.source_run_id
    add_event(connection, name, plan_id=subject.approved.plan_id, run_id=run_id, approver=approver, ticket=ticket)
    return approval


def _bytes_of(typed: str) -> bytes | None:
    try:
        return binascii.unhexlify(typed.strip())
    except (binascii.Error, ValueError):
        return None
