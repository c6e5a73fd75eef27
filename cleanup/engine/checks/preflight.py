"""The preflight as a whole: what `cleanup check` looks at, and what `apply` insists on before it creates a run."""

from collections.abc import Sequence
from typing import Final

from cleanup.check_names import CheckName
from cleanup.db.connection import Connection
from cleanup.db.events import add_event
from cleanup.engine.checks import ledger, tables, triggers
from cleanup.engine.checks.result import CheckResult, Level, acknowledge
from cleanup.engine.checks.setting import Area, Setting
from cleanup.engine.job import Job
from cleanup.errors import PreflightBlocked

# Cheap questions to the catalog and the server's statistics.
_AREAS: Final = (
    Area(CheckName.PRIMARY, ledger.primary),
    Area(CheckName.LEDGER, ledger.ledger),
    Area(CheckName.READ_PRIVILEGES, tables.privileges),
    Area(CheckName.ROW_SECURITY, tables.row_security),
    Area(CheckName.WRITE_STATEMENT, tables.write_statement),
    Area(CheckName.TRIGGERS, triggers.triggers),
    Area(CheckName.TRIGGER_SUPPRESSION, triggers.trigger_suppression),
    Area(CheckName.RULES, tables.rules),
)


def look_at(connection: Connection, job: Job) -> list[CheckResult]:
    """Every check but those that read posts, in one transaction; nothing is raised for what they find."""
    posts, results = tables.describe_posts(connection, job)
    setting = Setting(connection, job, tuple(posts))
    for area in _AREAS:
        results += area.results(setting)
    return acknowledge(results, job.config.check.acknowledge)


def require_no_block(results: Sequence[CheckResult]) -> None:
    """Raise PreflightBlocked where anything blocks."""
    blocking = [result for result in results if result.level is Level.BLOCK]
    if blocking:
        lines = [
            f"{result.name.value}{f' {result.subject}' if result.subject else ''}: {result.value}"
            for result in blocking
        ]
        raise PreflightBlocked(
            "\n".join([f"{len(blocking)} check(s) block:", *lines]),
            hint="`cleanup check` shows each with its way out; runbooks/check.md explains them.",
        )


def require_preflight(connection: Connection, job: Job) -> list[CheckResult]:
    """Look again before a run is created; raise PreflightBlocked. What is returned may hold acknowledged risks."""
    results = look_at(connection, job)
    require_no_block(results)
    return results


def record_risks(connection: Connection, results: Sequence[CheckResult], plan_id: int, run_id: int) -> None:
    """Add an event for each risk that somebody took, with what was found when the run was created."""
    for result in results:
        if result.acknowledged:
            add_event(
                connection,
                "check.acknowledged",
                plan_id=plan_id,
                run_id=run_id,
                check=result.name.value,
                subject=result.subject,
                value=result.value,
            )


def record_acknowledgements(connection: Connection, job: Job, plan_id: int) -> None:
    """Add an event for what the config takes the risk of, whether or not it is found, when a plan is created."""
    accepted = ", ".join(str(one) for one in job.config.check.acknowledge)
    if accepted:
        add_event(connection, "check.acknowledged", plan_id=plan_id, accepted=accepted)
