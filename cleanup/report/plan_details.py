"""What a signer is shown of a plan beyond its sums: classes, months, authors, samples, forecast, gaps."""

from dataclasses import dataclass
from typing import Final

from cleanup.db.report_plan import (
    AuthorCount,
    ClassCount,
    LaterCount,
    MonthCount,
    RefusedValue,
    ReviewCount,
    SpreadCount,
)
from cleanup.report.forecast import Forecast
from cleanup.report.samples import Sample

# The classes of the distributions begin at these numbers.
LENGTHS: Final = (1, 21, 41, 61, 101, 201, 401)
COUNTS: Final = (1, 2, 3, 4, 6, 11, 51)


@dataclass(frozen=True, slots=True)
class ColumnLine:
    """A column that the plan reads, and how."""

    table: str
    column: str
    format: str


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A rule of the policy, and where it comes from."""

    platform: str
    kind: str
    label: str
    decision: str
    source: str
    source_text: str
    confirmed: bool


@dataclass(frozen=True, slots=True)
class SpreadLine:
    """One class of a distribution: from `least` on, up to `most` where there is an end."""

    least: int
    most: int | None
    things: int


@dataclass(frozen=True, slots=True)
class Spreads:
    """Distributions over what would be changed."""

    link_lengths: tuple[SpreadLine, ...]
    links_of_values: tuple[SpreadLine, ...]
    links_of_authors: tuple[SpreadLine, ...]


@dataclass(frozen=True, slots=True)
class Total:
    """One sum that was come by in two ways, which agree, or there is no report."""

    name: str
    counted_by_the_scan: int
    counted_in_the_ledger: int


@dataclass(frozen=True, slots=True)
class PlanDetails:
    """The depth of a plan's report. What needs its findings, or the config, is empty where they are not there."""

    cutover_local: str | None
    columns: tuple[ColumnLine, ...]
    classes: tuple[ClassCount, ...]
    months: tuple[MonthCount, ...]
    later: tuple[LaterCount, ...]
    authors: tuple[AuthorCount, ...]
    spreads: Spreads
    samples: tuple[Sample, ...]
    samples_missing: str | None
    refused: tuple[RefusedValue, ...]
    forecast: Forecast | None
    reviews: tuple[ReviewCount, ...]
    rules: tuple[RuleLine, ...]
    uncovered: tuple[str, ...]
    totals: tuple[Total, ...]
    findings_purged: bool

    @property
    def review_samples(self) -> tuple[Sample, ...]:
        """The samples on which a person has to decide."""
        return tuple(sample for sample in self.samples if sample.decision == "review" and sample.scope == "historical")


def spreads_of(counts: tuple[SpreadCount, ...]) -> Spreads:
    """The distributions with their classes' bounds."""

    def lines(number: int, bounds: tuple[int, ...]) -> tuple[SpreadLine, ...]:
        things = {count.place: count.things for count in counts if count.number == number}
        return tuple(
            SpreadLine(least, bounds[place] - 1 if place < len(bounds) else None, things.get(place, 0))
            for place, least in enumerate(bounds, 1)
        )

    return Spreads(lines(1, LENGTHS), lines(2, COUNTS), lines(3, COUNTS))
