"""`cleanup check` from beginning to end: read-only transactions, none of them long."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cleanup.check_names import CheckName
from cleanup.config import Acknowledgement
from cleanup.db.connection import Connection, Limits
from cleanup.db.database import Database
from cleanup.engine.checks.discovery import Discovery
from cleanup.engine.checks.preflight import look_around, look_for_space, set_out
from cleanup.engine.checks.result import CheckResult, Level, acknowledge, warn
from cleanup.engine.checks.space import Expected, expected_of_newest_plan
from cleanup.engine.job import Job

APPLICATION_NAME: Final = "cleanup check"
# A table that somebody holds locked is reported as such, not waited for.
_LIMITS: Final = Limits(lock_timeout_ms=1_000)


@dataclass(frozen=True, slots=True)
class Checks:
    """Every result, and how many of them block, warn, or are well."""

    block: int
    warn: int
    ok: int
    results: tuple[CheckResult, ...]


def check_job(job: Job) -> Checks:
    """Look at everything; nothing is raised for what is found."""
    database = Database(job.dsn, APPLICATION_NAME)
    try:
        results = acknowledge(_results(database, job), job.config.check.acknowledge)
    finally:
        database.close()
    results += _unused(results, job.config.check.acknowledge)
    block, warned, well = (
        sum(result.level is level for result in results) for level in (Level.BLOCK, Level.WARN, Level.OK)
    )
    return Checks(block, warned, well, tuple(results))


def _results(database: Database, job: Job) -> list[CheckResult]:
    def look(connection: Connection) -> tuple[list[CheckResult], Expected | None]:
        setting, results = set_out(connection, job)
        return results + look_around(setting), expected_of_newest_plan(setting)

    results, expected = database.transact(look, _LIMITS, read_only=True)
    discovery = Discovery(database, job)
    expected = expected or discovery.expected_changes()
    if expected is None:
        results += [
            warn(name, "", "unknown: there is no plan yet, and nothing was sampled", "make a plan, or set sample_rows.")
            for name in (CheckName.SPACE_FORECAST, CheckName.DISK_SPACE)
        ]
    else:
        known = expected
        results += database.transact(
            lambda connection: look_for_space(set_out(connection, job)[0], known), _LIMITS, read_only=True
        )
    return [*results, *discovery.unconfigured_columns()]


def _unused(results: Sequence[CheckResult], accepted: Sequence[Acknowledgement]) -> list[CheckResult]:
    taken = [(result.name, result.subject) for result in results if result.acknowledged]
    return [
        warn(
            CheckName.ACKNOWLEDGEMENTS,
            str(one),
            "is acknowledged, and nothing of that name blocks",
            "take it out of [check] acknowledge, so that it hides nothing later.",
        )
        for one in accepted
        if not any(name is one.name and one.subject in (None, subject) for name, subject in taken)
    ]
