"""The tables of numbers of a run's report."""

from collections.abc import Iterator

from cleanup.engine.verdicts import ConflictReason
from cleanup.report.number_tables import NumberTable
from cleanup.report.run_details import RunDetails
from cleanup.report.run_model import RunReport


def run_tables(report: RunReport) -> tuple[NumberTable, ...]:
    """Every table of a run's report that has a row, in the order of reading."""
    tables = [_outcomes(report)]
    if report.details is not None:
        tables += _details(report, report.details)
    tables.append(
        NumberTable(
            "left",
            "Values that were left",
            ("table", "column", "key", "outcome", "detail"),
            tuple(
                (left.leaf_name, left.column_name, ", ".join(left.key), left.outcome, left.detail or "")
                for left in report.left
            ),
            "The first ones.",
        )
    )
    return tuple(table for table in tables if table.rows)


def _outcomes(report: RunReport) -> NumberTable:
    return NumberTable(
        "outcomes",
        "Outcomes",
        ("outcome", "values", "links"),
        tuple((line.outcome, line.findings, line.spans) for line in report.outcomes),
        "Every planned value ends in exactly one outcome.",
        ("settled", sum(line.findings for line in report.outcomes), sum(line.spans for line in report.outcomes)),
    )


def _details(report: RunReport, details: RunDetails) -> Iterator[NumberTable]:
    if report.source_run_id is None:
        yield NumberTable(
            "tables",
            "Planned against written",
            ("table", "values planned", "values written"),
            tuple((table.table, table.planned, table.written) for table in details.tables),
            "" if report.purge is None else "The log was purged: what was written is no longer counted here.",
        )
    yield NumberTable(
        "passes",
        "Batches by pass",
        ("pass", "batches", "values", "written", "edited since", "average ms", "longest ms"),
        tuple(
            (
                line.run_pass + 1,
                line.batches,
                line.values,
                line.written,
                line.edited,
                line.average_lock_ms,
                line.longest_lock_ms,
            )
            for line in details.passes
        ),
        "A later pass takes up the rows that somebody else held.",
    )
    yield NumberTable(
        "conflicts",
        "Links that could not be put back",
        ("reason", "links"),
        tuple((ConflictReason(line.reason).sentence, line.links) for line in details.conflicts),
    )
    yield NumberTable(
        "events",
        "What was asked of it, and what held it",
        ("at (UTC)", "event", "by", "detail"),
        tuple((f"{event.at:%Y-%m-%d %H:%M:%S}", event.name, event.by_role, event.detail) for event in details.events),
    )
