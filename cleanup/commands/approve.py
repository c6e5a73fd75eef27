"""cleanup approve: sign a plan by its digest."""

import binascii
from pathlib import Path

import click

from cleanup.commands.options import job_options
from cleanup.config_file import load_config
from cleanup.db.approvals import Approval, approve
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import get_plan
from cleanup.engine.guards import require_finished
from cleanup.errors import DigestDiffers


@click.command("approve")
@job_options
@click.argument("plan_id", metavar="PLAN", type=int)
@click.option("--digest", help="The digest of the report that was read; asked for where it is not given.")
@click.option("--by", "approver", required=True, help="Who signs.")
@click.option("--ticket", required=True, help="The change ticket.")
def command(config_file: Path, dsn: str, plan_id: int, digest: str | None, approver: str, ticket: str) -> None:
    """Approve a plan: what was signed is what runs."""
    hours = load_config(config_file).approval.expires_after_hours
    typed = digest or click.prompt("digest of the report that you have read")
    database = Database(dsn, "cleanup approve")
    try:
        approval = database.transact(lambda connection: _approve(connection, plan_id, typed, approver, ticket, hours))
    finally:
        database.close()
    click.echo(
        f"plan {plan_id} approved by {approval.approver} as {approval.approved_by}, ticket {approval.ticket}, "
        f"good until {approval.expires_at.isoformat(timespec='seconds')}"
    )


def _approve(connection: Connection, plan_id: int, typed: str, approver: str, ticket: str, hours: int) -> Approval:
    require_ledger(connection)
    digest = require_finished(get_plan(connection, plan_id))
    if _bytes_of(typed) != digest:
        raise DigestDiffers(
            f"{typed!r} is not the digest of plan {plan_id}",
            hint=f"read `cleanup report {plan_id}` and give the digest at its end.",
        )
    approval = approve(connection, plan_id, digest, approver, ticket, hours)
    add_event(connection, "plan.approved", plan_id=plan_id, approver=approver, ticket=ticket)
    return approval


def _bytes_of(typed: str) -> bytes | None:
    try:
        return binascii.unhexlify(typed.strip())
    except (binascii.Error, ValueError):
        return None
