"""The whole diff: every finding with its links before and after, streamed in short read-only transactions."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TextIO, TypeAlias

from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.findings import Finding, all_findings
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import get_plan, plan_columns, plan_leaves
from cleanup.db.posts import present_rows
from cleanup.db.purges import require_findings
from cleanup.db.targets import Target
from cleanup.engine.archive_text import csv_line
from cleanup.engine.job import Job
from cleanup.engine.spans import decode_spans
from cleanup.links.spans import Span
from cleanup.links.words import Words
from cleanup.report.as_csv import cell
from cleanup.report.samples import CONTEXT_CHARACTERS, TextState
from cleanup.report.sign_off import open_targets

# Posts may be large: so few at once, with all their configured columns, are in memory.
_FINDINGS_AT_ONCE: Final = 50

Names: TypeAlias = "dict[tuple[int, int], tuple[str, str, str]]"
_COLUMNS: Final = (
    *("finding", "table", "leaf", "column", "key", "author", "created_at", "scope", "to_change", "refusal", "text"),
    *("start", "platform", "kind", "decision", "reason", "host", "context_before", "before", "after", "context_after"),
)


@dataclass(frozen=True, slots=True)
class _Source:
    plan_id: int
    words: Words
    names: Names
    targets: dict[int, Target]


def write_diff(database: Database, plan_id: int, job: Job | None, file: TextIO, *, as_csv: bool) -> int:
    """Write every finding of a plan; return how many. JSON lines have one finding each, CSV lines one link.

    Links are given whole, with a bounded context; texts that are no longer as planned are marked instead.
    Raises PlanUnknown, LogPurged.
    """
    source = database.transact(lambda connection: _open(connection, plan_id, job), read_only=True)
    if as_csv:
        file.write(csv_line(_COLUMNS))
    written = 0
    for record in _records(database, source):
        file.write(_csv(record) if as_csv else _json(record))
        written += 1
    return written


def _open(connection: Connection, plan_id: int, job: Job | None) -> _Source:
    require_ledger(connection)
    plan = get_plan(connection, plan_id)
    require_findings(connection, plan_id)
    names = {
        (leaf.leaf_number, column.column_number): (leaf.table_name, leaf.leaf_name, column.column_name)
        for leaf in plan_leaves(connection, plan_id)
        for column in plan_columns(connection, plan_id)
        if column.table_name == leaf.table_name
    }
    targets, _ = open_targets(connection, plan, job)
    return _Source(plan_id, Words(plan.words), names, targets)


@dataclass(frozen=True, slots=True)
class _Record:
    finding: Finding
    spans: tuple[Span, ...]
    place: tuple[str, str, str]
    state: TextState
    text: str


def _records(database: Database, source: _Source) -> Iterator[_Record]:
    after = 0
    while True:
        # A snapshot that is held for long keeps VACUUM from its work, so each page has a transaction of its own.
        page = database.transact(lambda connection, place=after: _page(connection, source, place), read_only=True)  # type: ignore[misc]
        if not page:
            return
        yield from page
        after = page[-1].finding.finding_number


def _page(connection: Connection, source: _Source, after: int) -> list[_Record]:
    findings = all_findings(connection, source.plan_id, after, _FINDINGS_AT_ONCE)
    records: list[_Record] = []
    for leaf_number, group in groupby(findings, key=lambda finding: finding.leaf_number):
        ours = list(group)
        target = source.targets.get(leaf_number)
        present = {}
        if target is not None:
            present = present_rows(connection, target, list(dict.fromkeys(finding.key for finding in ours)))
        for finding in ours:
            row = present.get(finding.key)
            text = row.texts[finding.column_number] if row is not None else None
            state = TextState.of(finding, text, was_read=target is not None, is_there=row is not None)
            place = source.names[finding.leaf_number, finding.column_number]
            shown = (text or "") if state is TextState.AS_PLANNED else ""
            records.append(_Record(finding, decode_spans(finding.spans, source.words), place, state, shown))
    return records


def _head(record: _Record) -> dict[str, object]:
    finding = record.finding
    table, leaf, column = record.place
    return {
        "finding": finding.finding_number,
        "table": table,
        "leaf": leaf,
        "column": column,
        "key": list(finding.key),
        "author": finding.author,
        "created_at": finding.created_at.isoformat() if finding.created_at else None,
        "scope": finding.scope,
        "to_change": finding.actionable,
        "refusal": finding.refusal,
        "text": record.state.value,
    }


def _link(record: _Record, span: Span) -> dict[str, object]:
    text, known = record.text, record.state is TextState.AS_PLANNED
    before = text[span.start : span.end] if known else None
    changes = record.finding.actionable and span.decision.changes_text and span.replacement is not None
    return {
        "start": span.start,
        "platform": span.platform,
        "kind": span.kind,
        "decision": span.decision.value,
        "reason": span.reason,
        "host": span.host,
        "context_before": text[max(span.start - CONTEXT_CHARACTERS, 0) : span.start],
        "before": before,
        "after": span.replacement if changes and known else before,
        "context_after": text[span.end : span.end + CONTEXT_CHARACTERS],
    }


def _json(record: _Record) -> str:
    links = [_link(record, span) for span in record.spans]
    # In ASCII alone: whatever a post holds, a terminal that shows the file has nothing to obey.
    return json.dumps({**_head(record), "links": links}) + "\n"


def _csv(record: _Record) -> str:
    head = _head(record)
    head["key"] = json.dumps(head["key"], ensure_ascii=False)
    head["to_change"] = "yes" if record.finding.actionable else "no"
    links = [_link(record, span) for span in record.spans]
    return "".join(
        csv_line(cell(value) for value in (*head.values(), *link.values()))
        for link in links or [dict.fromkeys(_COLUMNS[11:])]
    )
