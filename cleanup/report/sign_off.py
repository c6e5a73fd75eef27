"""Making a plan's report in full: the sums, then what only the findings and the posts themselves can say."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from cleanup.db.connection import Connection
from cleanup.db.plans import Plan, get_plan, plan_columns, plan_leaves
from cleanup.db.purges import findings_are_there
from cleanup.db.report_plan import (
    author_counts,
    class_counts,
    finding_sums,
    later_counts,
    month_counts,
    refused_list,
    review_counts,
    sampled_links,
    spread_counts,
)
from cleanup.db.runs import apply_run_of
from cleanup.db.targets import Target
from cleanup.engine.guards import require_here, require_same_settings
from cleanup.engine.job import Job, describe_tables, targets_of
from cleanup.errors import CleanupError
from cleanup.links.policy import Policy
from cleanup.links.words import Words
from cleanup.report.forecast import forecast
from cleanup.report.plan_details import COUNTS, LENGTHS, ColumnLine, PlanDetails, RuleLine, spreads_of
from cleanup.report.plan_model import PlanReport, plan_report
from cleanup.report.reconciling import reconcile
from cleanup.report.samples import read_samples

_AUTHORS: Final = 20
_REFUSED: Final = 50
_SAMPLES: Final = 1_000


@dataclass(frozen=True, slots=True)
class ReportOrder:
    """What a report is made with: the job gives texts and rules, the policy alone the rules; `samples` a class."""

    plan_id: int
    job: Job | None
    policy: Policy | None
    samples: int


def sign_off_report(connection: Connection, order: ReportOrder) -> PlanReport:
    """The whole report of a plan, reconciled. Raises PlanUnknown, InvariantBroken."""
    policy = order.job.policy if order.job is not None else order.policy
    report = plan_report(connection, order.plan_id, policy)
    plan = get_plan(connection, order.plan_id)
    same_policy = policy is not None and policy.digest == plan.policy_digest
    offset = policy.cutover.utcoffset() if policy is not None and same_policy else None
    columns = tuple(
        ColumnLine(column.table_name, column.column_name, column.format.value)
        for column in plan_columns(connection, order.plan_id)
    )
    details = PlanDetails(
        cutover_local=policy.cutover.isoformat() if policy is not None and same_policy else None,
        columns=columns,
        classes=(),
        months=(),
        later=(),
        authors=(),
        spreads=spreads_of(()),
        samples=(),
        samples_missing="its findings were purged",
        refused=(),
        forecast=None,
        reviews=review_counts(connection, order.plan_id),
        rules=tuple(_rules(policy)) if policy is not None and same_policy else (),
        uncovered=tuple(_uncovered(report, columns)),
        totals=(),
        findings_purged=True,
    )
    if findings_are_there(connection, order.plan_id):
        details = _with_findings(connection, order, report, details, int(offset.total_seconds()) if offset else 0)
        details = _with_samples(connection, order, plan, details)
    return replace(report, details=details)


def _with_findings(
    connection: Connection, order: ReportOrder, report: PlanReport, details: PlanDetails, offset_seconds: int
) -> PlanDetails:
    classes = class_counts(connection, order.plan_id)
    months = month_counts(connection, order.plan_id, offset_seconds)
    spreads = spreads_of(spread_counts(connection, order.plan_id, LENGTHS, COUNTS))
    return replace(
        details,
        classes=classes,
        months=months,
        later=later_counts(connection, order.plan_id),
        authors=author_counts(connection, order.plan_id, _AUTHORS),
        spreads=spreads,
        refused=refused_list(connection, order.plan_id, _REFUSED),
        forecast=forecast(connection, order.plan_id),
        totals=reconcile(report, finding_sums(connection, order.plan_id), classes, months, spreads),
        findings_purged=False,
    )


def _with_samples(connection: Connection, order: ReportOrder, plan: Plan, details: PlanDetails) -> PlanDetails:
    targets, missing = open_targets(connection, plan, order.job)
    format_of = {(column.table, column.column): column.format for column in details.columns}
    names = {
        (leaf.leaf_number, column.column_number): (
            leaf.table_name,
            leaf.leaf_name,
            column.column_name,
            format_of[column.table_name, column.column_name],
        )
        for leaf in plan_leaves(connection, plan.plan_id)
        for column in plan_columns(connection, plan.plan_id)
        if column.table_name == leaf.table_name
    }
    sampled = sampled_links(connection, plan.plan_id, order.samples, _SAMPLES)
    samples = read_samples(connection, targets, names, sampled, Words(plan.words))
    if len(samples) == _SAMPLES:
        missing = f"more than {_SAMPLES:,} links would have to be shown: give a smaller --samples"
    run_id = apply_run_of(connection, plan.plan_id)
    if missing is None and run_id is not None:
        missing = f"run {run_id} has applied the plan: what it changed is no longer in the posts, but in its log"
    return replace(details, samples=samples, samples_missing=missing)


def open_targets(connection: Connection, plan: Plan, job: Job | None) -> tuple[dict[int, Target], str | None]:
    """The plan's tables to read texts from, or why there are none."""
    if job is None:
        return {}, "no config was given, which says where the posts are"
    try:
        require_here(connection, plan)
        require_same_settings(plan, job, hint="give the config that the plan was made with.")
        tables = describe_tables(connection, job)
    except CleanupError as error:
        return {}, str(error)
    return targets_of(tables, plan_leaves(connection, plan.plan_id), plan.cutover), None


def _rules(policy: Policy) -> Iterator[RuleLine]:
    for rule in policy.rules:
        if rule.decision is not None:
            source = rule.source
            yield RuleLine(
                rule.platform,
                rule.kind,
                rule.label,
                rule.decision.value,
                source.name,
                source.text,
                source.confirmed,
            )


def _uncovered(report: PlanReport, columns: tuple[ColumnLine, ...]) -> Iterator[str]:
    read = ", ".join(f"{column.table}.{column.column}" for column in columns)
    yield f"Any column but these: {read}."
    for scope, sentence in _OUTSIDE:
        rows = sum(table.scopes.get(scope, 0) for table in report.tables)
        if rows:
            yield sentence.format(rows=f"{rows:,}")
    yield "Posts written or edited since the plan began: `cleanup verify` finds them, a delta plan handles them."
    yield "New posts after the cutover: that gate belongs to the application."
    yield "Links that are not written: in pictures, QR codes, sound and video."
    yield "Copies elsewhere (search indexes, caches, backups): `cleanup log RUN --changed-keys` names what changed."
    opaque = sum(line.spans for line in report.spans if line.platform == "opaque")
    if opaque:
        yield f"{opaque:,} links whose own text does not say where they lead, beyond what their decision says."
    review = report.totals().get("review", 0)
    if review:
        yield f"{review:,} links that a person has to decide: they stay as they are under this plan."


_OUTSIDE: Final = (
    ("after_cutover", "{rows} posts created from the cutover on: their links are counted here, and not touched."),
    ("exempt", "{rows} posts that the config exempts (live-streams): their links are counted here, and kept."),
    ("undated", "{rows} posts without a date: their links are counted here, and not touched."),
    ("outside", "{rows} rows that the config's predicates leave out: they were not searched."),
)
