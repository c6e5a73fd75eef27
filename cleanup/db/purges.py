"""Purges: a run's log deleted for good by one function of the ledger, which leaves counts, heads and a proof."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import args_row

from cleanup.db.connection import Connection
from cleanup.db.queries import run_statement, statement
from cleanup.db.refusals import ledger_refusals
from cleanup.errors import LogPurged


@dataclass(frozen=True, slots=True)
class Purge:
    """The proof of one purge: what was deleted, by whom, and why before its date."""

    purge_id: int
    run_id: int
    log_rows: int
    log_head: bytes
    findings: int
    retain_until: datetime
    forced: bool
    reason: str | None
    purged_at: datetime
    purged_by: str


def purge_run(connection: Connection, run_id: int, reason: str | None) -> Purge:
    """Delete the run's log in the open transaction, and with the last log of a plan its findings.

    Raises what the ledger's function finds: RunUnknown, RunUnfinished, LogPurged, LogInUse, or LogRetained where
    its date has not come and there is no `reason`.
    """
    with ledger_refusals(), connection.cursor(row_factory=args_row(Purge)) as cursor:
        proof = cursor.execute(run_statement("purges.purge", run_id), {"run_id": run_id, "reason": reason}).fetchone()
    assert proof is not None
    return proof


def purge_plan(connection: Connection, plan_id: int, reason: str) -> int:
    """Delete the findings of a plan that nobody has applied, in the open transaction; how many there were.

    Raises what the ledger's function finds: PlanUnknown, PlanUnfinished, PlanAlreadyApplied, LogPurged, or LogRetained
    while the plan is approved.
    """
    with ledger_refusals():
        row = connection.execute(statement("purges.purge_plan"), {"plan_id": plan_id, "reason": reason}).fetchone()
    assert row is not None
    return int(row[0])


def purge_in_force(connection: Connection, run_id: int) -> Purge | None:
    """The purge that took the run's log away; None where the log is there."""
    with connection.cursor(row_factory=args_row(Purge)) as cursor:
        return cursor.execute(run_statement("purges.in_force", run_id), {"run_id": run_id}).fetchone()


def require_log(connection: Connection, run_id: int) -> None:
    """Raise LogPurged where the run's log was purged and did not come back."""
    proof = purge_in_force(connection, run_id)
    if proof is not None:
        raise LogPurged(
            f"the log of run {run_id} was purged at {proof.purged_at.isoformat(timespec='seconds')} by "
            f"{proof.purged_by}: {proof.log_rows} rows",
            hint=f"`cleanup status {run_id}` shows what was kept, and which archives were made; "
            f"`cleanup rollback {run_id} --archive DIR` takes the log from one of them.",
        )


def findings_are_there(connection: Connection, plan_id: int) -> bool:
    """Whether the plan still has its findings: they go with the last of its logs."""
    return connection.execute(statement("purges.findings_are_there"), {"plan_id": plan_id}).fetchone() == (True,)


def require_findings(connection: Connection, plan_id: int) -> None:
    """Raise LogPurged where the plan's findings were purged with its logs."""
    if not findings_are_there(connection, plan_id):
        raise LogPurged(
            f"the findings of plan {plan_id} were purged",
            hint="a new plan finds what is there now; `cleanup verify` without a run reads every post again.",
        )
