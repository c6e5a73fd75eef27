"""The figures beside their goals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


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
