"""The table of the fault suite: fault x verb, and what each came to; all its numbers have to be zero.

Fixture: `faults`. A test announces a case before it does harm, and settles it with what it measured in the
database; a case that was announced and never settled did not survive. `--fault-table` prints all of them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from typing import Final

import pytest

_PROPERTY: Final = "fault case"
_cases = pytest.StashKey[list["Case"]]()


@dataclass(frozen=True, slots=True)
class Measured:
    """What a fault came to, against an undisturbed run: all numbers are zero where nothing was lost."""

    rows_lost: int = 0
    rows_twice: int = 0
    without_outcome: int = 0
    log_differs: int = 0

    def __add__(self, other: "Measured") -> "Measured":
        """The sum over two cases, or two parts of one."""
        return Measured(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Case:
    """One fault in one verb on one server version; `measured` is None where the test did not get that far."""

    fault: str
    verb: str
    major: int
    measured: Measured | None

    @property
    def survived(self) -> bool:
        """Whether the case was settled with nothing lost."""
        return self.measured == Measured()


class FaultCase:
    """A case under way."""

    def __init__(self, fault: str, verb: str, properties: list[tuple[str, object]], major: int) -> None:
        self.fault = fault
        self.verb = verb
        # Plain values, since a worker sends them to the session that prints.
        self._numbers: list[int] = []
        properties.append((_PROPERTY, [fault, verb, major, self._numbers]))

    def settle(self, measured: Measured) -> None:
        """Put what was measured into the table, and fail where anything was lost."""
        assert not self._numbers, f"{self.fault} x {self.verb} was settled before"
        self._numbers.extend(astuple(measured))
        assert measured == Measured(), f"{self.fault} x {self.verb}: {measured}"


class Faults:
    """The cases of one test."""

    def __init__(self, properties: list[tuple[str, object]], major: int) -> None:
        self._properties = properties
        self._major = major

    def case(self, fault: str, verb: str) -> FaultCase:
        """Announce a case, before the fault is done."""
        return FaultCase(fault, verb, self._properties, self._major)


@pytest.fixture
def faults(request: pytest.FixtureRequest, major: int) -> Faults:
    """Where a test announces its cases."""
    return Faults(request.node.user_properties, major)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--fault-table`."""
    parser.addoption("--fault-table", action="store_true", help="print what each fault came to, verb by verb")


def pytest_configure(config: pytest.Config) -> None:
    """Collect the cases in the session that prints."""
    config.stash[_cases] = []
    config.pluginmanager.register(_Collector(config.stash[_cases]))


class _Collector:
    def __init__(self, cases: list[Case]) -> None:
        self._cases = cases

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the cases out of a test's last report, wherever it ran."""
        if report.when == "teardown":
            self._cases.extend(_read(report.user_properties))


def _read(properties: Iterable[tuple[str, object]]) -> Iterator[Case]:
    for name, value in properties:
        if name == _PROPERTY and isinstance(value, list):
            fault, verb, major, numbers = value
            yield Case(fault, verb, major, Measured(*numbers) if numbers else None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table where it was asked for."""
    cases = config.stash[_cases]
    if cases and config.getoption("--fault-table"):
        terminalreporter.section("faults")
        for line in table(cases):
            terminalreporter.line(line)


def table(cases: Iterable[Case]) -> list[str]:
    """The table, one line for each fault and verb, and a line with the total."""
    groups: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.fault, case.verb].append(case)
    rows = [_HEAD, *(_row(fault, verb, groups[fault, verb]) for fault, verb in sorted(groups))]
    everything = [case for group in groups.values() for case in group]
    total = _row(f"TOTAL: {len(groups)} kinds", f"{len({verb for _, verb in groups})} verbs", everything)
    widths = [max(len(cells[place]) for cells in [*rows, total]) for place in range(len(_HEAD))]
    rule = ["-" * width for width in widths]
    return [_line(cells, widths) for cells in [rows[0], rule, *rows[1:], rule, total]]


_HEAD: Final = ("fault", "verb", "PostgreSQL", "survived", *(one.name.replace("_", " ") for one in fields(Measured)))


def _row(fault: str, verb: str, cases: list[Case]) -> tuple[str, ...]:
    majors = " ".join(str(major) for major in sorted({case.major for case in cases}))
    survived = sum(case.survived for case in cases)
    settled = [case.measured for case in cases if case.measured is not None]
    numbers = map(str, astuple(sum(settled, Measured()))) if settled else ["?"] * len(fields(Measured))
    return (fault, verb, majors, f"{survived}/{len(cases)}", *numbers)


def _line(cells: Iterable[str], widths: list[int]) -> str:
    words = [
        cell.ljust(width) if place < 3 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(words).rstrip()
