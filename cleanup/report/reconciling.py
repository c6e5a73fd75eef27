"""Holding a report's sums against each other: what the scan counted, and what the ledger holds."""

from collections import Counter
from collections.abc import Iterator

from cleanup.db.report_plan import ClassCount, FindingSums, MonthCount
from cleanup.errors import InvariantBroken
from cleanup.report.plan_details import Spreads, Total
from cleanup.report.plan_model import PlanReport


def reconcile(
    report: PlanReport,
    sums: FindingSums,
    classes: tuple[ClassCount, ...],
    months: tuple[MonthCount, ...],
    spreads: Spreads,
) -> tuple[Total, ...]:
    """The table of totals; raise InvariantBroken where any two ways to a number disagree."""
    totals = (*_totals(report, sums), *_links(report, classes, months), *_changes(report, spreads))
    wrong = [total for total in totals if total.counted_by_the_scan != total.counted_in_the_ledger]
    if wrong:
        lines = "; ".join(
            f"{one.name}: {one.counted_by_the_scan:,} by the scan, {one.counted_in_the_ledger:,} in the ledger"
            for one in wrong
        )
        raise InvariantBroken(
            f"the report of plan {report.plan_id} does not add up: {lines}",
            hint="the ledger was changed behind the plan's back: keep it as evidence, and make a new plan.",
        )
    return totals


def _totals(report: PlanReport, sums: FindingSums) -> Iterator[Total]:
    for table in report.tables:
        yield Total(f"{table.table}: rows read, and rows of every scope", table.rows, sum(table.scopes.values()))
    yield Total("values with links or problems", sum(table.findings for table in report.tables), sums.findings)
    yield Total("values to change", sum(table.actionable for table in report.tables), sums.actionable)
    refused = sum(sum(table.refusals.values()) for table in report.tables)
    yield Total("values refused in advance", refused, sums.refused)
    yield Total("links", sum(line.spans for line in report.spans), sums.links)


def _links(report: PlanReport, classes: tuple[ClassCount, ...], months: tuple[MonthCount, ...]) -> Iterator[Total]:
    scanned: Counter[tuple[str, str]] = Counter()
    for line in report.spans:
        scanned[line.scope, line.decision] += line.spans
    classed: Counter[tuple[str, str]] = Counter()
    for one in classes:
        classed[one.scope, one.decision] += one.links
    by_month: Counter[tuple[str, str]] = Counter()
    for month in months:
        by_month[month.scope, month.decision] += month.links
    for scope, decision in sorted(scanned.keys() | classed.keys() | by_month.keys()):
        name = f"links, {scope.replace('_', ' ')}, {decision}"
        yield Total(f"{name}: by class", scanned[scope, decision], classed[scope, decision])
        yield Total(f"{name}: by month", scanned[scope, decision], by_month[scope, decision])
    fine = {
        (line.table, line.column, line.scope, line.platform, line.kind, line.decision, line.reason): line.spans
        for line in report.spans
    }
    agreeing = sum(
        fine.get((one.table, one.column, one.scope, one.platform, one.kind, one.decision, one.reason)) == one.links
        for one in classes
    )
    yield Total("classes of links that agree one by one", len(fine), agreeing)


def _changes(report: PlanReport, spreads: Spreads) -> Iterator[Total]:
    by_links = sum(line.things for line in spreads.links_of_values)
    yield Total("values to change: by number of links", sum(table.actionable for table in report.tables), by_links)
