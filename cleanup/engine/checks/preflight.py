"""The preflight as a whole: what `cleanup check` looks at, and what `apply` insists on before it creates a run."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from cleanup.check_names import CheckName
from cleanup.db.connection import Connection
from cleanup.db.events import add_event
from cleanup.engine.checks import (
    copies,
    dependents,
    health,
    indexes,
    ledger,
    replication,
    server,
    server_logs,
    tables,
    triggers,
)
from cleanup.engine.checks.result import CheckResult, Level, acknowledge
from cleanup.engine.checks.setting import Area, Setting
from cleanup.engine.checks.space import Expected, expected_of_plan, space
from cleanup.engine.job import Job
from cleanup.errors import PreflightBlocked
from cleanup.event_catalogue import Event

_Name = CheckName
# Whether rows can be written at all, and what would happen beside them.
_WRITING: Final = (
    Area(tables.privileges, (_Name.READ_PRIVILEGES, _Name.WRITE_PRIVILEGES)),
    Area(tables.row_security, (_Name.ROW_SECURITY,)),
    Area(tables.write_statement, (_Name.WRITE_STATEMENT,)),
    Area(triggers.triggers, (_Name.TRIGGERS, _Name.TRIGGER_COPIES)),
    Area(triggers.trigger_suppression, (_Name.TRIGGER_SUPPRESSION,)),
    Area(tables.rules, (_Name.RULES,)),
)
# Cheap questions, to the catalog and to the server's statistics; none reads a post.
AREAS: Final = (
    Area(ledger.primary, (_Name.PRIMARY,)),
    Area(ledger.ledger, (_Name.LEDGER, _Name.LEDGER_PRIVILEGES)),
    *_WRITING,
    Area(dependents.dependents, (_Name.GENERATED_COLUMNS, _Name.CHECK_CONSTRAINTS, _Name.FOREIGN_KEYS)),
    Area(indexes.index_checks, (_Name.INDEXES, _Name.UNIQUE_INDEXES, _Name.INVALID_INDEXES)),
    Area(health.storage, (_Name.FILLFACTOR, _Name.AUTOVACUUM)),
    Area(health.partitions, (_Name.PARTITIONS, _Name.TABLE_LOCKS)),
    Area(health.long_transactions, (_Name.LONG_TRANSACTIONS,)),
    Area(health.collations, (_Name.COLLATIONS,)),
    Area(replication.publications, (_Name.PUBLICATION_LEDGER, _Name.PUBLICATIONS, _Name.REPLICA_IDENTITY)),
    Area(replication.replication_slots, (_Name.REPLICATION_SLOTS,)),
    Area(replication.streams, (_Name.STANDBYS,)),
    Area(replication.subscriptions, (_Name.SUBSCRIPTIONS,)),
    Area(server.server_settings, (_Name.SERVER_SETTINGS, _Name.DURABILITY)),
    Area(server.checkpoints, (_Name.CHECKPOINTS,)),
    Area(server.timeouts, (_Name.TIMEOUTS,)),
    Area(server.connections, (_Name.CONNECTIONS,)),
    Area(server.archiving, (_Name.ARCHIVING,)),
    Area(server.backup, (_Name.BASE_BACKUP,)),
    Area(
        server_logs.server_logs,
        (_Name.LOG_PARAMETERS, _Name.ERROR_LOG_PARAMETERS, _Name.AUTO_EXPLAIN, _Name.AUDIT_LOG),
    ),
    Area(copies.copies, (_Name.MATERIALIZED_VIEWS, _Name.HISTORY_TABLES)),
)


def set_out(connection: Connection, job: Job) -> tuple[Setting, list[CheckResult]]:
    """The configured tables as far as they can be described, and how each came out."""
    posts, results = tables.describe_posts(connection, job)
    return Setting(connection, job, tuple(posts)), results


def look_around(setting: Setting) -> list[CheckResult]:
    """Every check that reads no post; nothing is raised for what is found."""
    return [result for area in AREAS for result in area.results(setting)]


def look_for_space(setting: Setting, expected: Expected) -> list[CheckResult]:
    """The forecast, and the disk."""
    return Area(partial(space, expected=expected), (_Name.SPACE_FORECAST, _Name.DISK_SPACE)).results(setting)


def require_no_block(results: Sequence[CheckResult]) -> None:
    """Raise PreflightBlocked where anything blocks."""
    blocking = [result for result in results if result.level is Level.BLOCK]
    if blocking:
        raise PreflightBlocked(
            "\n".join(
                [f"{len(blocking)} check(s) block:", *(f"{result.place}: {result.value}" for result in blocking)]
            ),
            hint="`cleanup check` shows each with its way out; runbooks/check.md explains them.",
        )


def require_preflight(connection: Connection, job: Job, plan_id: int) -> list[CheckResult]:
    """Look again before a run is created; raise PreflightBlocked. What is returned may hold acknowledged risks."""
    setting, results = set_out(connection, job)
    results += look_around(setting)
    results += look_for_space(setting, expected_of_plan(setting, plan_id))
    results = acknowledge(results, job.config.check.acknowledge)
    require_no_block(results)
    return results


def require_writable(connection: Connection, job: Job) -> None:
    """The part of it that a rollback needs: raise PreflightBlocked where rows could not be written as configured.

    Whoever has to undo a run is not to be held up by a slot or a log.
    """
    setting, results = set_out(connection, job)
    results += [result for area in _WRITING for result in area.results(setting)]
    require_no_block(acknowledge(results, job.config.check.acknowledge))


def record_risks(connection: Connection, results: Sequence[CheckResult], plan_id: int, run_id: int) -> None:
    """Add an event for each risk that somebody took, with what was found when the run was created."""
    for result in results:
        if result.acknowledged:
            add_event(
                connection,
                Event.CHECK_ACKNOWLEDGED,
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
        add_event(connection, Event.CHECK_ACKNOWLEDGED, plan_id=plan_id, accepted=accepted)
