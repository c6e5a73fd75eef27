"""What the checks of one preflight share."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cleanup.check_names import CheckName
from cleanup.db.checks import Posts, Unreadable, attempt
from cleanup.db.connection import Connection
from cleanup.engine.checks.result import CheckResult, warn
from cleanup.engine.job import Job


@dataclass(frozen=True, slots=True)
class Setting:
    """The job, one transaction of ours, and the configured tables as far as they could be described."""

    connection: Connection
    job: Job
    posts: tuple[Posts, ...]


@dataclass(frozen=True, slots=True)
class Area:
    """A few checks that stand or fall together; where the server will not answer, each of `names` says so."""

    run: Callable[[Setting], Iterable[CheckResult]]
    names: tuple[CheckName, ...]

    def results(self, setting: Setting) -> list[CheckResult]:
        """What its checks came to, or that the server would not say."""
        answer = attempt(setting.connection, lambda: list(self.run(setting)))
        if not isinstance(answer, Unreadable):
            return answer
        return [unknown(name, f"the server would not say (SQLSTATE {answer.sqlstate})") for name in self.names]


def unknown(name: CheckName, why: str) -> CheckResult:
    """What could not be seen is said, not taken for well."""
    return warn(name, "", f"unknown: {why}", "grant pg_monitor to the role, or have a DBA look.")
