"""cleanup approve: sign a plan by its digest."""

import binascii
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from cleanup.commands.options import OutputFormat, format_option, job_options, load_job
from cleanup.commands.selecting import selection_options
from cleanup.db.approvals import Approval, Approved, approve, revoke, session_role
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import get_plan
from cleanup.db.purges import require_findings
from cleanup.db.runs import apply_run_of, lock_plan
from cleanup.db.selection import Selection
from cleanup.engine.guards import require_finished, require_second_person
from cleanup.engine.job import Job
from cleanup.engine.rollback_source import open_source
from cleanup.errors import DigestDiffers, PlanAlreadyApplied, PlanNotApproved, UsageInvalid
from cleanup.event_catalogue import Event
from cleanup.report.as_json import render_json
from cleanup.report.as_text import shown


@click.command("approve")
@job_options
@click.argument("plan_id", metavar="[PLAN]", type=int, required=False)
@click.option("--rollback", "source_run_id", type=int, help="Approve the rollback of this run instead of a plan.")
@selection_options
@click.option("--digest", help="The digest of the report that was read; asked for where it is not given.")
@click.option("--by", "signer", required=True, help="Who signs, or revokes.")
@click.option("--ticket", help="The change ticket.")
@click.option("--revoke", "revoking", is_flag=True, help="Take back what was approved and not yet applied.")
@click.option("--reason", help="Why it is taken back; with --revoke.")
@format_option
def command(
    config_file: Path,
    dsn: str,
    plan_id: int | None,
    source_run_id: int | None,
    selection: Selection,
    digest: str | None,
    signer: str,
    ticket: str | None,
    revoking: bool,
    reason: str | None,
    output_format: OutputFormat,
) -> None:
    """Approve a plan, or a rollback, by its digest: what was signed is what runs."""
    _require_fitting(digest, ticket, revoking=revoking, reason=reason)
    job = load_job(config_file, dsn)
    # The question is no part of the answer, which may be read as JSON.
    typed = "" if revoking else digest or click.prompt("digest of the report that you have read", err=True)
    database = Database(dsn, "cleanup approve")

    def sign_or_revoke(connection: Connection) -> Approval:
        subject = _subject(connection, job, plan_id, source_run_id, selection)
        if revoking:
            return _revoke(connection, subject, signer, reason or "")
        return _sign(connection, job, subject, typed, signer, ticket or "")

    try:
        approval = database.transact(sign_or_revoke)
    finally:
        database.close()
    if output_format is OutputFormat.JSON:
        click.echo(render_json({**asdict(approval), "source_run_id": source_run_id}), nl=False)
        return
    name = f"plan {plan_id}" if source_run_id is None else f"rollback of run {source_run_id}"
    click.echo(f"{name} {_revoked(approval, signer) if revoking else _signed(approval)}")


def _revoked(approval: Approval, revoker: str) -> str:
    return f"is not approved any more: revoked by {shown(revoker)}; it was {shown(approval.approver)}'s"


def _signed(approval: Approval) -> str:
    return (
        f"approved by {shown(approval.approver)} as {approval.approved_by}, "
        f"ticket {shown(approval.ticket)}, good until {approval.expires_at.isoformat(timespec='seconds')}"
    )


def _require_fitting(digest: str | None, ticket: str | None, *, revoking: bool, reason: str | None) -> None:
    if revoking and (digest or ticket or not (reason or "").strip()):
        raise UsageInvalid("--revoke goes with --by and --reason", hint="say why the approval is taken back.")
    if not revoking and (reason is not None or not (ticket or "").strip()):
        raise UsageInvalid("an approval needs a --ticket, and no --reason", hint="name the change ticket.")


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is signed, its digest, and the verb that shows it."""

    approved: Approved
    digest: bytes
    report: str

    @property
    def name(self) -> str:
        """What it is, in two words."""
        run_id = self.approved.source_run_id
        return f"plan {self.approved.plan_id}" if run_id is None else f"this rollback of run {run_id}"


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
            f"{typed!r} is not the digest of {subject.name}",
            hint=f"read `{subject.report}` and give the digest at its end.",
        )
    if subject.approved.source_run_id is None:
        # Nobody can have read what is not there any more, and no run could use the signature.
        require_findings(connection, subject.approved.plan_id)
    if job.config.approval.four_eyes and subject.approved.source_run_id is None:
        require_second_person(connection, subject.approved.plan_id, session_role(connection))
    hours = job.config.approval.expires_after_hours
    approval = approve(connection, subject.approved, subject.digest, approver, ticket, hours)
    event = Event.PLAN_APPROVED if subject.approved.source_run_id is None else Event.ROLLBACK_APPROVED
    run_id = subject.approved.source_run_id
    add_event(connection, event, plan_id=subject.approved.plan_id, run_id=run_id, approver=approver, ticket=ticket)
    return approval


def _revoke(connection: Connection, subject: _Subject, revoker: str, reason: str) -> Approval:
    """Take back every approval of the subject that no run has used; the newest of them."""
    approved = subject.approved
    # A run that is being created uses the approval up before, or finds it revoked.
    lock_plan(connection, approved.plan_id)
    revoked = revoke(connection, approved, revoker, reason)
    if not revoked:
        run_id = apply_run_of(connection, approved.plan_id) if approved.source_run_id is None else None
        if run_id is not None:
            raise PlanAlreadyApplied(
                f"the approval of plan {approved.plan_id} was used by run {run_id}",
                hint=f"`cleanup pause {run_id}` or `cleanup cancel {run_id}` stops that.",
            )
        raise PlanNotApproved("there is no approval to revoke", hint=f"`{subject.report}` shows what was signed.")
    event = Event.PLAN_APPROVAL_REVOKED if approved.source_run_id is None else Event.ROLLBACK_APPROVAL_REVOKED
    run_id = approved.source_run_id
    add_event(connection, event, plan_id=approved.plan_id, run_id=run_id, revoker=revoker, reason=reason)
    return max(revoked, key=lambda approval: approval.approval_id)


def _bytes_of(typed: str) -> bytes | None:
    try:
        return binascii.unhexlify(typed.strip())
    except (binascii.Error, ValueError):
        return None
