"""Approvals: who signed which digest, for how long."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import args_row, scalar_row
from psycopg.types.json import Jsonb

from cleanup.db.connection import Connection
from cleanup.db.queries import statement


@dataclass(frozen=True, slots=True)
class Approval:
    """One signature under a plan's digest; `approved_by` is the session's database role."""

    approval_id: int
    plan_id: int
    digest: bytes
    approver: str
    ticket: str
    approved_by: str
    approved_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    revoker: str | None = None
    revoked_for: str | None = None


@dataclass(frozen=True, slots=True)
class Approved:
    """What an approval is for: a plan, or the rollback of some part of one of its runs."""

    plan_id: int
    source_run_id: int | None = None
    selection: Mapping[str, object] | None = None

    def parameters(self) -> dict[str, object]:
        """The parameters that name it."""
        return {
            "plan_id": self.plan_id,
            "source_run_id": self.source_run_id,
            "selection": None if self.selection is None else Jsonb(self.selection),
        }


def approve(
    connection: Connection, approved: Approved, digest: bytes, approver: str, ticket: str, expires_after_hours: int
) -> Approval:
    """Record an approval in the open transaction."""
    with connection.cursor(row_factory=args_row(Approval)) as cursor:
        approval = cursor.execute(
            statement("approvals.approve"),
            {
                **approved.parameters(),
                "digest": digest,
                "approver": approver,
                "ticket": ticket,
                "expires_after_hours": expires_after_hours,
            },
        ).fetchone()
    assert approval is not None
    return approval


def revoke(connection: Connection, approved: Approved, revoker: str, reason: str) -> list[Approval]:
    """Revoke every approval of it that no run has used, in the open transaction; none where there is nothing to."""
    with connection.cursor(row_factory=args_row(Approval)) as cursor:
        return cursor.execute(
            statement("approvals.revoke"), {**approved.parameters(), "revoker": revoker, "reason": reason}
        ).fetchall()


def session_role(connection: Connection) -> str:
    """The role that has logged in; SET ROLE does not change it."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return str(cursor.execute(statement("approvals.session_role")).fetchone())


def makers_of(connection: Connection, plan_id: int) -> frozenset[str]:
    """The session roles whose work a plan is: who planned it, and who decided its reviews."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return frozenset(map(str, cursor.execute(statement("approvals.makers"), {"plan_id": plan_id})))


def newest_approval(connection: Connection, approved: Approved) -> Approval | None:
    """The approval that a run would consume."""
    with connection.cursor(row_factory=args_row(Approval)) as cursor:
        return cursor.execute(statement("approvals.newest"), approved.parameters()).fetchone()


def approvals_of(connection: Connection, plan_id: int) -> list[Approval]:
    """Every approval of a plan, oldest first."""
    with connection.cursor(row_factory=args_row(Approval)) as cursor:
        return cursor.execute(statement("approvals.of_plan"), {"plan_id": plan_id}).fetchall()
