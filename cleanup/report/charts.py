"""A stacked chart of months as plain geometry: the template draws it, nothing else decides what it shows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from cleanup.db.report_plan import MonthCount

WIDTH: Final = 720
HEIGHT: Final = 180
_LEFT: Final = 52
_MONTHS_MOST: Final = 240
# From the axis up: what is written first, what stays last.
STACK: Final = ("redact", "rewrite", "review", "keep", "out of scope")


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of a month's bar, in the chart's own units."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A label at an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class MonthChart:
    """Links by month; `cutover` is where the cutover's month begins, `omitted` how many months before are not drawn."""

    bars: tuple[Bar, ...]
    months: tuple[Mark, ...]
    heights: tuple[Mark, ...]
    kinds: tuple[str, ...]
    cutover: float | None
    omitted: int


def month_chart(counts: Sequence[MonthCount], cutover_month: str) -> MonthChart | None:
    """The chart of a plan's months; None where no post has a date."""
    stacks: dict[str, Counter[str]] = {}
    for count in counts:
        if count.month:
            kind = count.decision if count.scope == "historical" else "out of scope"
            stacks.setdefault(count.month, Counter())[kind] += count.links
    if not stacks:
        return None
    every = list(_filled(sorted(stacks)))
    months = every[-_MONTHS_MOST:]
    highest = max(sum(stacks.get(month, Counter()).values()) for month in months) or 1
    step = (WIDTH - _LEFT) / len(months)
    kinds = tuple(kind for kind in STACK if any(stack[kind] for stack in stacks.values()))
    return MonthChart(
        bars=tuple(
            bar
            for place, month in enumerate(months)
            for bar in _bars(month, stacks.get(month, Counter()), _LEFT + place * step, step, highest)
        ),
        months=tuple(_month_marks(months, step)),
        heights=tuple(Mark(HEIGHT * (1 - part / 2), f"{round(highest * part / 2):,}") for part in range(3)),
        kinds=kinds,
        cutover=_LEFT + months.index(cutover_month) * step if cutover_month in months else None,
        omitted=len(every) - len(months),
    )


def _bars(month: str, stack: Counter[str], x: float, step: float, highest: int) -> Iterator[Bar]:
    top = float(HEIGHT)
    for kind in STACK:
        height = HEIGHT * stack[kind] / highest
        if height:
            top -= height
            gap = min(step * 0.15, 2)
            yield Bar(
                kind,
                round(x, 2),
                round(top, 2),
                round(step - gap, 2),
                round(height, 2),
                f"{month} {kind}: {stack[kind]:,}",
            )


def _month_marks(months: list[str], step: float) -> Iterator[Mark]:
    every = max(ceil(56 / step), 1)
    for place in range(0, len(months), every):
        yield Mark(round(_LEFT + (place + 0.5) * step, 2), months[place])


def _filled(months: list[str]) -> Iterator[str]:
    """The months with those between them, unless the years are so far apart that no one could read it."""
    first, last = _number(months[0]), _number(months[-1])
    if last - first > _MONTHS_MOST:
        yield from months
        return
    for number in range(first, last + 1):
        yield f"{number // 12:04}-{number % 12 + 1:02}"


def _number(month: str) -> int:
    year, _, number = month.rpartition("-")
    return int(year) * 12 + int(number) - 1
