"""What a plan's report says: read from the ledger alone, and reconciled when it is made."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cleanup.config import AfterCutover
from cleanup.db.approvals import Approval, approvals_of
from cleanup.db.chunks import ChunkCounts, chunk_counts
from cleanup.db.connection import Connection
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import Plan, get_plan, plan_leaves
from cleanup.engine.scan_counts import ScanCounts
from cleanup.errors import InvariantBroken
from cleanup.links.policy import Policy
from cleanup.report.plan_details import PlanDetails

_TOP_HOSTS: Final = 20


@dataclass(frozen=True, slots=True)
class SpanLine:
    """How many spans of one class a table holds."""

    table: str
    column: str
    scope: str
    platform: str
    kind: str
    decision: str
    reason: str
    spans: int


@dataclass(frozen=True, slots=True)
class TableLine:
    """How many rows of a table were read, by scope."""

    table: str
    rows: int
    scopes: dict[str, int]
    findings: int
    actionable: int
    refusals: dict[str, int]
    null_predicates: int
    after_cutover: AfterCutover


@dataclass(frozen=True, slots=True)
class ReadingLine:
    """A reading of the policy's source that is a choice, and the key that switches it."""

    text: str
    policy_key: str


@dataclass(frozen=True, slots=True)
class PlanReport:
    """Everything that a signer is shown of a plan; `plan` itself shows it without the details."""

    plan_id: int
    base_plan_id: int | None
    state: str
    digest: str | None
    findings_digest: str | None
    policy: str
    policy_version: str
    policy_digest: str
    matcher_version: int
    code_version: str
    cutover: datetime
    database: str
    system_identifier: str
    server_version: int
    planned_by: str
    started_at: datetime
    finished_at: datetime | None
    tables: tuple[TableLine, ...]
    spans: tuple[SpanLine, ...]
    hosts: tuple[tuple[str, int], ...]
    counted_hosts: tuple[tuple[str, int], ...]
    readings: tuple[ReadingLine, ...]
    approvals: tuple[Approval, ...]
    details: PlanDetails | None = None

    def signatures(self) -> list[str]:
        """What became of each approval of the plan, in a sentence."""
        return [_signature(approval) for approval in self.approvals if approval.digest.hex() == self.digest]

    def included_later(self) -> list[str]:
        """Each table whose later posts the config puts in scope, in a sentence."""
        return [
            f'{table.table}: posts created from the cutover on are in scope too (after_cutover = "include")'
            for table in self.tables
            if table.after_cutover is AfterCutover.INCLUDE
        ]

    def totals(self) -> dict[str, int]:
        """Spans by what becomes of them."""
        totals: Counter[str] = Counter()
        for line in self.spans:
            totals[line.decision if line.scope == "historical" else f"kept, {line.scope}"] += line.spans
        return dict(totals)


def _signature(approval: Approval) -> str:
    by = f"by {approval.approver} (as {approval.approved_by}), ticket {approval.ticket}"
    if approval.revoked_at is not None:
        return f"approved {by}; REVOKED by {approval.revoker} at {_minute(approval.revoked_at)}: {approval.revoked_for}"
    return f"approved {by}, at {_minute(approval.approved_at)}, good until {_minute(approval.expires_at)}"


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


@dataclass(slots=True)
class _TableSum:
    rows: int = 0
    findings: int = 0
    actionable: int = 0
    null_predicates: int = 0
    scopes: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)

    def add(self, chunk: ChunkCounts, counts: ScanCounts) -> None:
        self.rows += counts.rows
        self.findings += chunk.findings
        self.actionable += chunk.actionable
        self.null_predicates += counts.null_predicates
        self.scopes.update(counts.scopes)
        self.refusals.update(counts.refusals)

    def line(self, table: str, after_cutover: AfterCutover) -> TableLine:
        return TableLine(
            table,
            self.rows,
            dict(self.scopes),
            self.findings,
            self.actionable,
            dict(self.refusals),
            self.null_predicates,
            after_cutover,
        )


def plan_report(connection: Connection, plan_id: int, policy: Policy | None) -> PlanReport:
    """The report of a plan; of an unfinished one it says how far the scan has come. Raises PlanUnknown.

    `policy` adds the readings where it is still the plan's own.
    """
    require_ledger(connection)
    plan = get_plan(connection, plan_id)
    tables, spans, hosts, counted = _sum_up(connection, plan)
    report = PlanReport(
        plan_id=plan.plan_id,
        base_plan_id=plan.base_plan_id,
        state=plan.state.value,
        digest=plan.digest.hex() if plan.digest else None,
        findings_digest=plan.findings_digest.hex() if plan.findings_digest else None,
        policy=plan.policy_name,
        policy_version=plan.policy_version,
        policy_digest=plan.policy_digest.hex(),
        matcher_version=plan.matcher_version,
        code_version=plan.code_version,
        cutover=plan.cutover,
        database=plan.database_identity.database_name,
        system_identifier=plan.database_identity.system_identifier,
        server_version=plan.database_identity.server_version,
        planned_by=plan.planned_by,
        started_at=plan.started_at,
        finished_at=plan.finished_at,
        tables=tables,
        spans=spans,
        hosts=hosts,
        counted_hosts=counted,
        readings=_readings(plan, policy),
        approvals=tuple(approvals_of(connection, plan_id)),
    )
    _reconcile(report)
    return report


def _sum_up(
    connection: Connection, plan: Plan
) -> tuple[tuple[TableLine, ...], tuple[SpanLine, ...], tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]:
    table_of = {leaf.leaf_number: leaf.table_name for leaf in plan_leaves(connection, plan.plan_id)}
    sums = {table: _TableSum() for table in table_of.values()}
    spans: Counter[tuple[str, str, str, str, str, str, str]] = Counter()
    hosts: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    for chunk in chunk_counts(connection, plan.plan_id):
        table = table_of[chunk.leaf_number]
        counts = ScanCounts.from_json(chunk.counts)
        sums[table].add(chunk, counts)
        for span_class, number in counts.spans.items():
            spans[table, *span_class] += number
        hosts.update(counts.hosts)
        counted.update(counts.counted)
    tables = tuple(part.line(table, _after_cutover(plan, table)) for table, part in sorted(sums.items()))
    lines = tuple(
        SpanLine(table, column, scope, platform, kind, decision, reason, number)
        for (table, scope, column, platform, kind, decision, reason), number in sorted(spans.items())
    )
    return tables, lines, tuple(hosts.most_common(_TOP_HOSTS)), tuple(counted.most_common(_TOP_HOSTS))


def _after_cutover(plan: Plan, table: str) -> AfterCutover:
    settings = plan.settings.get(table)
    assert isinstance(settings, dict)
    return AfterCutover(settings["after_cutover"])


def _readings(plan: Plan, policy: Policy | None) -> tuple[ReadingLine, ...]:
    if policy is None or policy.digest != plan.policy_digest:
        return ()
    return tuple(ReadingLine(reading.text, reading.key) for reading in policy.readings)


def _reconcile(report: PlanReport) -> None:
    for table in report.tables:
        if sum(table.scopes.values()) != table.rows:
            raise InvariantBroken(
                f"{table.table}: scopes add up to {sum(table.scopes.values())} rows of {table.rows}",
                hint="the ledger is damaged: keep it as evidence, and make a new plan.",
            )
