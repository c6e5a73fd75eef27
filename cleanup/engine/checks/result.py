"""What one check came to, and what an acknowledgement makes of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from cleanup.check_names import CheckName
from cleanup.config import Acknowledgement

_SHOWN: Final = 5


class Level(Enum):
    """How serious a result is."""

    OK = "ok"
    WARN = "warn"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One result: `subject` is the table, index, publication ... it is about, empty for the server as a whole.

    `value` is what was found, in names, numbers and settings; never a post's text, a statement or a password.
    """

    name: CheckName
    subject: str
    level: Level
    value: str
    hint: str = ""
    acknowledged: bool = False

    @property
    def place(self) -> str:
        """Its name, and what it is about."""
        return f"{self.name.value} {self.subject}" if self.subject else self.name.value


def ok(name: CheckName, subject: str, value: str) -> CheckResult:
    """All is well."""
    return CheckResult(name, subject, Level.OK, value)


def warn(name: CheckName, subject: str, value: str, hint: str) -> CheckResult:
    """Somebody should know before the cutover."""
    return CheckResult(name, subject, Level.WARN, value, hint)


def block(name: CheckName, subject: str, value: str, hint: str) -> CheckResult:
    """The job must not start like this, unless somebody takes the risk where the name allows that."""
    return CheckResult(name, subject, Level.BLOCK, value, hint)


def acknowledge(results: Iterable[CheckResult], accepted: Sequence[Acknowledgement]) -> list[CheckResult]:
    """The results as they stand once the config's acknowledgements count."""
    return [_acknowledged(result, accepted) for result in results]


def _acknowledged(result: CheckResult, accepted: Sequence[Acknowledgement]) -> CheckResult:
    if result.level is not Level.BLOCK or not result.name.can_be_acknowledged:
        return result
    if any(one.name is result.name and one.subject in (None, result.subject) for one in accepted):
        return replace(result, level=Level.WARN, acknowledged=True)
    spelling = f"{result.name.value}:{result.subject}" if result.subject else result.name.value
    return replace(result, hint=f'{result.hint} Or take the risk: [check] acknowledge = ["{spelling}"].')


def named(names: Sequence[str]) -> str:
    """The first few of many names, and how many more there are."""
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN:,} more"


def size(number_of_bytes: int) -> str:
    """A size as people read it."""
    amount, unit = float(number_of_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"
