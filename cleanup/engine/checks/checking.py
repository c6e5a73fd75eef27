"""`cleanup check` from beginning to end: read-only transactions, none of them long."""

from dataclasses import dataclass
from typing import Final

from cleanup.db.database import Database
from cleanup.engine.checks.preflight import look_at
from cleanup.engine.checks.result import CheckResult, Level
from cleanup.engine.job import Job

APPLICATION_NAME: Final = "cleanup check"


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
        results = database.transact(lambda connection: look_at(connection, job), read_only=True)
    finally:
        database.close()
    block, warn, ok = (sum(result.level is level for result in results) for level in (Level.BLOCK, Level.WARN, Level.OK))
    return Checks(block, warn, ok, tuple(results))
