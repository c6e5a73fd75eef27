"""What a run's report and its status say: planned against done, every finding in one outcome."""

from dataclasses import dataclass, replace
from datetime import datetime

from cleanup.db.archives import ExportPlace, Restoration, export_places, restoration_of
from cleanup.db.batches import OutcomeCount, batch_rows, outcome_counts, run_totals
from cleanup.db.chunks import refused_values
from cleanup.db.connection import Connection
from cleanup.db.controls import SettingInPlace, settings_in_place
from cleanup.db.ledger import require_ledger
from cleanup.db.outcomes import Left, list_left
from cleanup.db.purges import Purge, purge_in_force
from cleanup.db.run_chunks import unfinished_run_chunks
from cleanup.db.runs import RunKind, get_run
from cleanup.db.wal_marks import WalMark, wal_marks
from cleanup.engine.chain import run_head
from cleanup.engine.verdicts import Outcome
from cleanup.errors import InvariantBroken
from cleanup.report.run_details import RunDetails, run_details


@dataclass(frozen=True, slots=True)
class RunReport:
    """Everything there is to say of a run, open or closed; `apply` itself says it without the details."""

    run_id: int
    kind: str
    plan_id: int
    source_run_id: int | None
    state: str
    started_by: str
    created_at: datetime
    finished_at: datetime | None
    log_head: str | None
    planned_findings: int
    refused_by_plan: int
    settled_findings: int
    batches: int
    log_rows: int
    edited_since_plan: int
    longest_lock_ms: int
    open_chunks: int
    outcomes: tuple[OutcomeCount, ...]
    left: tuple[Left, ...]
    retain_until: datetime | None
    purge: Purge | None
    restoration: Restoration | None
    exports: tuple[ExportPlace, ...]
    wal_marks: tuple[WalMark, ...]
    settings: tuple[SettingInPlace, ...]
    details: RunDetails | None = None

    @property
    def leaves_work(self) -> bool:
        """Whether somebody has to look: at an outcome, or at values that the plan could not change."""
        return self.refused_by_plan > 0 or any(
            Outcome(line.outcome).leaves_work and (line.findings or line.spans) for line in self.outcomes
        )


def run_report(connection: Connection, run_id: int, rows_left: int, *, with_open_head: bool = True) -> RunReport:
    """The report of a run, with the first `rows_left` findings that it left. Raises RunUnknown.

    The head of an open run is the one over its batches so far, which takes a look at each of them.
    """
    require_ledger(connection)
    run = get_run(connection, run_id)
    totals = run_totals(connection, run_id)
    outcomes = outcome_counts(connection, run_id)
    head = run.log_head or (run_head(batch_rows(connection, run_id)) if with_open_head else None)
    report = RunReport(
        run_id=run.run_id,
        kind=run.kind.value,
        plan_id=run.plan_id,
        source_run_id=run.source_run_id,
        state=run.state.value,
        started_by=run.started_by,
        created_at=run.created_at,
        finished_at=run.finished_at,
        log_head=head.hex() if head else None,
        planned_findings=run.planned,
        refused_by_plan=refused_values(connection, run.plan_id) if run.kind is RunKind.APPLY else 0,
        settled_findings=sum(line.findings for line in outcomes),
        batches=totals.batches,
        log_rows=totals.log_rows,
        edited_since_plan=totals.edited,
        longest_lock_ms=round(totals.longest_lock_ms),
        open_chunks=unfinished_run_chunks(connection, run_id),
        outcomes=tuple(outcomes),
        left=tuple(
            list_left(connection, run_id, [outcome.value for outcome in Outcome if outcome.leaves_work], rows_left)
        ),
        retain_until=run.retain_until,
        purge=purge_in_force(connection, run_id),
        restoration=restoration_of(connection, run_id),
        exports=tuple(export_places(connection, run_id)),
        wal_marks=wal_marks(connection, run_id),
        settings=settings_in_place(connection, run_id),
    )
    _reconcile(report)
    return report


def detailed_run_report(connection: Connection, run_id: int, rows_left: int) -> RunReport:
    """The same with its details. Raises RunUnknown."""
    report = run_report(connection, run_id, rows_left)
    return replace(report, details=run_details(connection, run_id))


def _reconcile(report: RunReport) -> None:
    if report.state == "finished" and report.settled_findings != report.planned_findings:
        raise InvariantBroken(
            f"run {report.run_id} settled {report.settled_findings} of {report.planned_findings} planned findings",
            hint="the ledger is damaged: keep it as evidence; verify names the rows.",
        )
