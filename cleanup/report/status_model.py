"""What status says: every plan and every run, newest first."""

from collections.abc import Iterator
from dataclasses import dataclass

from cleanup.db.connection import Connection
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import Plan, all_plans
from cleanup.db.runs import all_runs
from cleanup.report.as_text import table_lines
from cleanup.report.run_model import RunReport, run_report


@dataclass(frozen=True, slots=True)
class Status:
    """The ledger at a glance."""

    plans: tuple[Plan, ...]
    runs: tuple[RunReport, ...]


def read_status(connection: Connection) -> Status:
    """Read every plan and run; raises LedgerMissing."""
    require_ledger(connection)
    runs = tuple(run_report(connection, run.run_id, 0) for run in all_runs(connection))
    return Status(tuple(all_plans(connection)), runs)


def render_status(status: Status) -> str:
    """The ledger at a glance, as text."""
    return "\n".join(_lines(status)) + "\n"


def _lines(status: Status) -> Iterator[str]:
    yield "plans" if status.plans else "no plans yet: run `cleanup plan`"
    yield from table_lines(
        ("plan", "since", "state", "policy", "started", "digest"),
        (
            (
                plan.plan_id,
                plan.base_plan_id or "",
                plan.state.value,
                f"{plan.policy_name} {plan.policy_version}",
                plan.started_at.isoformat(timespec="seconds"),
                plan.digest.hex()[:16] if plan.digest else "",
            )
            for plan in status.plans
        ),
    )
    yield "runs" if status.runs else "no runs yet"
    yield from table_lines(
        ("run", "kind", "plan", "state", "settled", "of", "log head"),
        (
            (
                run.run_id,
                run.kind,
                run.plan_id,
                run.state,
                run.settled_findings,
                run.planned_findings,
                (run.log_head or "")[:16],
            )
            for run in status.runs
        ),
    )
