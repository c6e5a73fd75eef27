"""The text rendering: lines that a DBA can read over a shoulder."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from cleanup.db.controls import SettingInPlace
from cleanup.db.wal_marks import WalMark
from cleanup.engine.rollback_preview import RollbackPreview
from cleanup.report.number_tables import plan_tables
from cleanup.report.plan_details import PlanDetails
from cleanup.report.plan_model import PlanReport
from cleanup.report.run_model import RunReport
from cleanup.report.run_numbers import run_tables
from cleanup.report.samples import TextState

# The others are in the page and in the CSV files.
_READ_FIRST: Final = (
    "totals",
    "decisions",
    "later",
    "kept",
    "review",
    "reviews",
    "refused",
    "hosts",
    "other_shops",
    "forecast",
)
_SCOPES: Final = ("historical", "after_cutover", "exempt", "undated", "outside")


def table_lines(head: Sequence[str], rows: Iterable[Sequence[object]], indent: str = "  ") -> Iterator[str]:
    """Rows under a head, columns aligned; numbers to the right."""
    cells = [[shown(value) for value in row] for row in rows]
    if not cells:
        return
    widths = [max(len(row[place]) for row in [list(head), *cells]) for place in range(len(head))]
    yield indent + "  ".join(name.ljust(width) for name, width in zip(head, widths, strict=True)).rstrip()
    for row in cells:
        parts = [
            cell.rjust(width) if cell.replace(",", "").isdigit() else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ]
        yield indent + "  ".join(parts).rstrip()


def shown(value: object) -> str:
    """A value as it may stand on a terminal: numbers grouped, control characters spelled out."""
    if isinstance(value, int):
        return f"{value:,}"
    # What comes from the database may hold control or bidirectional characters: they are shown, not obeyed.
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in str(value))


def shown_key(key: Sequence[str]) -> str:
    """A row's key as one writes it: its one part, or all of them in parentheses."""
    return shown(key[0] if len(key) == 1 else f"({', '.join(key)})")


def shown_setting(setting: SettingInPlace) -> str:
    """A setting with whoever set it, and why, where the ledger knows that."""
    who = f" by {shown(setting.set_by)}" if setting.set_by else ""
    why = f": {shown(setting.reason)}" if setting.reason else ""
    return f"{shown(setting.key)} = {shown(setting.value)}{who}{why}"


def render_plan(report: PlanReport) -> str:
    """A plan's report as text."""
    return "\n".join([*_head(report), *_found(report), *_readings(report), *_signing(report)]) + "\n"


def render_plan_summary(report: PlanReport) -> str:
    """What `plan` itself prints: the totals, and where to read the rest."""
    where = f"  read it whole: cleanup report {report.plan_id} --html FILE"
    return "\n".join([*_head(report), *_totals(report), *_warnings(report), where, *_signing(report)]) + "\n"


def _head(report: PlanReport) -> Iterator[str]:
    if report.state != "finished":
        yield f"THIS PLAN IS {report.state.upper()}: the numbers below are partial and can not be approved."
    kind = f"delta plan since plan {report.base_plan_id}" if report.base_plan_id else "plan"
    yield f"{kind} {report.plan_id} of database {report.database!r} (server {report.system_identifier})"
    yield f"  policy    {report.policy} {report.policy_version}, digest {report.policy_digest[:16]}"
    local = report.details.cutover_local if report.details else None
    yield f"  cutover   {report.cutover.isoformat()}{f', which is {local}' if local else ''}"
    yield f"  made by   {report.planned_by}, {report.started_at.isoformat(timespec='seconds')}"
    yield ""
    yield "posts read"
    yield from table_lines(
        ("table", "rows", "historical", "after cutover", "exempt", "undated", "outside", "findings", "to change"),
        (
            (
                table.table,
                table.rows,
                *(table.scopes.get(scope, 0) for scope in _SCOPES),
                table.findings,
                table.actionable,
            )
            for table in report.tables
        ),
    )
    yield ""


def _found(report: PlanReport) -> Iterator[str]:
    """The tables that are read first, then the samples and what is to be known beside them."""
    for table in plan_tables(report):
        if table.name in _READ_FIRST:
            yield table.title.lower()
            yield from table_lines(table.head, [*table.rows, *([table.foot] if table.foot else [])])
            yield ""
    yield from _warnings(report)
    if report.details is not None:
        yield from _sample_lines(report.details)
        yield from _cost(report.details)
        yield ""
        yield f"{len(report.details.totals):,} sums were held against each other, and agree"
        yield ""
        yield "what this plan does not cover"
        yield from (f"  {shown(sentence)}" for sentence in report.details.uncovered)


def _sample_lines(details: PlanDetails) -> Iterator[str]:
    yield ""
    if not details.samples:
        yield "samples are in the page (--html FILE), or here with --samples 2"
        return
    yield "samples: [-before-]{+after+}"
    if details.samples_missing:
        yield f"  TEXTS ARE MISSING: {shown(details.samples_missing)}"
    for one in details.samples:
        place = f"{one.table}.{one.column} {shown_key(one.key)}, {one.scope}"
        yield f"  {one.decision} {one.platform} {one.kind} ({shown(one.reason)}), one of {one.links:,}: {place}"
        if one.state is TextState.AS_PLANNED:
            put = "" if one.put_there is None else f"{{+{shown(one.put_there)}+}}"
            link = f"[-{shown(one.link)}-]" if put else f"[={shown(one.link)}=]"
            yield f"    {shown(one.context_before)}{link}{put}{shown(one.context_after)}"
        else:
            yield f"    {one.state.value.replace('_', ' ')}"


def _cost(details: PlanDetails) -> Iterator[str]:
    cost = details.forecast
    if cost is None:
        return
    yield ""
    yield "what it would cost the database"
    yield f"  duration   {'' if cost.seconds is None else f'about {cost.seconds} s, '}{cost.duration_measured}"
    yield f"  WAL        {cost.wal_bytes:,} bytes, and up to {cost.image_bytes:,} of page images ({cost.wal_measured})"
    yield f"  log        {cost.log_bytes:,} bytes ({cost.log_measured})"
    yield f"  dead rows  {cost.dead_bytes:,} bytes ({cost.dead_measured})"


def _totals(report: PlanReport) -> Iterator[str]:
    yield "what becomes of them"
    yield from table_lines(("decision", "links"), sorted(report.totals().items()))


def _warnings(report: PlanReport) -> Iterator[str]:
    yield from (f"  {shown(sentence)}" for sentence in report.included_later())
    for table in report.tables:
        for refusal, number in sorted(table.refusals.items()):
            yield f"  {table.table}: {number:,} values can not be changed: {refusal}"
        if table.null_predicates:
            yield f"  {table.table}: a predicate was NULL for {table.null_predicates:,} rows and counted as false"


def _readings(report: PlanReport) -> Iterator[str]:
    if report.readings:
        yield ""
        yield "readings of the source that are choices, and the policy key that switches each"
        for reading in report.readings:
            yield f"  {reading.policy_key}: {reading.text}"


def _signing(report: PlanReport) -> Iterator[str]:
    yield ""
    yield f"  findings digest  {report.findings_digest or 'none yet'}"
    yield f"  digest           {report.digest or 'none yet'}"
    yield from (f"  {shown(sentence)}" for sentence in report.signatures())
    if report.digest and all(approval.revoked_at for approval in report.approvals):
        yield f"  to approve: cleanup approve {report.plan_id} --digest {report.digest} --by NAME --ticket TICKET"


def render_run(report: RunReport) -> str:
    """A run's report as text."""
    return "\n".join(_run_lines(report)) + "\n"


def _run_lines(report: RunReport) -> Iterator[str]:
    what = f"rollback of run {report.source_run_id}" if report.source_run_id else f"apply of plan {report.plan_id}"
    share = report.settled_findings / report.planned_findings if report.planned_findings else 1.0
    yield f"run {report.run_id}: {what}, {report.state}"
    yield (
        f"  findings {report.settled_findings:,}/{report.planned_findings:,} {share:.1%}; batches {report.batches:,}; "
        f"longest batch {report.longest_lock_ms} ms; edited since the plan {report.edited_since_plan:,}"
    )
    for setting in report.settings:
        at = f" at {_second(setting.set_at)} as {shown(setting.set_as)}" if setting.set_at else ""
        yield f"  in place of its config, set{at}: {shown_setting(setting)}"
    yield from table_lines(
        ("outcome", "findings", "links"), ((line.outcome, line.findings, line.spans) for line in report.outcomes)
    )
    if report.details is not None:
        for table in run_tables(report):
            if table.name not in ("outcomes", "left"):
                yield f"  {table.title.lower()}"
                yield from table_lines(table.head, table.rows, "    ")
    if report.refused_by_plan:
        yield f"  values that the plan found and could not change: {report.refused_by_plan:,} (verify lists them)"
    for left in report.left:
        detail = f": {shown(left.detail)}" if left.detail else ""
        yield f"  left: {left.leaf_name}.{left.column_name} {shown_key(left.key)}: {left.outcome}{detail}"
    if report.log_head:
        yield f"  log head {report.log_head}{'' if report.finished_at else ' so far'}"
    for mark in report.wal_marks:
        yield f"  {mark.moment} in the WAL {mark.lsn}, {_restore_point(mark)}"
    yield from _keeping(report)


def _restore_point(mark: WalMark) -> str:
    return f"restore point {mark.restore_point}" if mark.restore_point else f"no restore point: {shown(mark.note)}"


def _keeping(report: RunReport) -> Iterator[str]:
    """Where the removed links are kept, and for how long."""
    purge, restoration = report.purge, report.restoration
    if purge is not None:
        why = f", before its date {_second(purge.retain_until)}: {shown(purge.reason)}" if purge.forced else ""
        yield (
            f"  LOG PURGED at {_second(purge.purged_at)} by {shown(purge.purged_by)}{why}; "
            f"{purge.log_rows:,} rows and {purge.findings:,} findings deleted"
        )
    elif report.retain_until is not None:
        yield f"  log kept until {_second(report.retain_until)}; from then on: cleanup purge {report.run_id}"
    if restoration is not None:
        who = shown(restoration.restored_by)
        yield f"  log restored from an archive at {_second(restoration.restored_at)} by {who}"
    for export in report.exports:
        what = f"archive of {_second(export.exported_at)}" if export.sha256 else "unfinished export, may hold texts"
        yield f"  {what}: {shown(export.place)} ({export.format}, {shown(export.exported_by)})"


def _second(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def render_rollback_preview(preview: RollbackPreview) -> str:
    """What a rollback would come to, as text."""
    return "\n".join(_preview_lines(preview)) + "\n"


def _preview_lines(preview: RollbackPreview) -> Iterator[str]:
    part = ", ".join(f"{name} {shown(value)}" for name, value in preview.selection.items())
    yield f"rollback of run {preview.source_run_id}, {part or 'all of it'}: DRY RUN, nothing was written"
    yield f"  values {preview.values:,}"
    yield from table_lines(("outcome of values", "values"), sorted(preview.outcomes.items()))
    yield from table_lines(("outcome of links", "links"), sorted(preview.links.items()))
    for case in preview.conflicts:
        place = f"{case.leaf_name}.{case.column_name} {shown_key(case.key)}"
        yield f"  conflict: {place}, link {case.link_number + 1}: {case.reason.sentence}"
        yield f"    link      {shown(case.link)}"
        yield f"    put there {shown(case.put_there)}"
        yield f"    text now  {shown(case.text_now if case.text_now is not None else 'NULL')}"
    yield f"  log head {preview.log_head}"
    yield f"  digest   {preview.digest}"
    yield f"  to do it: cleanup rollback {preview.source_run_id}, with the same options"
