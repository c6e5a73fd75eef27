"""The figures beside their goals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.bench.measuring import Measured

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: measured, and what it is to be at most."""

    name: str
    measured: float
    goal: float
    stretch: float
    unit: str = ""

    @property
    def verdict(self) -> str:
        """Met, stretch met, or not met."""
        if self.measured <= self.stretch:
            return "stretch"
        return "met" if self.measured <= self.goal else "NOT MET"


def table(figures: Sequence[Figure]) -> Iterator[str]:
    """The figures as a Markdown table."""
    yield "| figure | goal | stretch | measured | |"
    yield "|---|---:|---:|---:|---|"
    for figure in figures:
        numbers = (f"{number:.2f}{figure.unit}" for number in (figure.goal, figure.stretch, figure.measured))
        yield f"| {figure.name} | {' | '.join(numbers)} | {figure.verdict} |"


def work_table(taken: Mapping[str, Sequence[Measured]]) -> Iterator[str]:
    """What each piece of work took, medians of its rounds, as a Markdown table; starting processes is in it."""
    yield "| work | seconds | CPU s of the job | CPU s of the server | WAL, MiB | a lane's peak, MiB |"
    yield "|---|---:|---:|---:|---:|---:|"
    for work, rounds in taken.items():
        numbers = (
            median(one.seconds for one in rounds),
            median(one.client_cpu_seconds for one in rounds),
            median(one.server_cpu_seconds for one in rounds),
            median(one.wal_bytes for one in rounds) / _MIB,
            max(one.lane_peak_bytes for one in rounds) / _MIB,
        )
        yield f"| {work} | {' | '.join(f'{number:,.2f}' for number in numbers)} |"
