"""cleanup log: show or export the change log of a run."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import click

from cleanup.commands.options import dsn_option
from cleanup.db.change_log import LogRow, Place, places
from cleanup.db.connection import SCAN_LIMITS, Connection
from cleanup.db.database import Database
from cleanup.db.ledger import require_ledger
from cleanup.db.runs import get_run
from cleanup.engine.log_check import all_log_rows

_FIELDS: Final = (
    "run",
    "finding",
    "table",
    "column",
    "key",
    "outcome",
    "created_at",
    "author",
    "hash_before",
    "hash_after",
    "edits",
    "logged_at",
)


@click.command("log")
@dsn_option
@click.argument("run_id", metavar="RUN", type=int)
@click.option("--format", "output_format", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
def command(dsn: str, run_id: int, output_format: str) -> None:
    """Write a run's change log to standard output. It holds the removed links: handle it as sensitive."""
    render = _csv_lines if output_format == "csv" else _json_lines
    database = Database(dsn, "cleanup log")
    try:
        database.transact(lambda connection: _print(connection, run_id, render), SCAN_LIMITS, read_only=True)
    finally:
        database.close()


def _print(connection: Connection, run_id: int, render: Callable[[Iterator[dict[str, object]]], Iterator[str]]) -> None:
    require_ledger(connection)
    run = get_run(connection, run_id)
    names = places(connection, run.plan_id)
    records = (_record(row, names[row.leaf_number, row.column_number]) for row in all_log_rows(connection, run_id))
    for line in render(records):
        click.echo(line)


def _record(row: LogRow, place: Place) -> dict[str, object]:
    values = (
        row.run_id,
        row.finding_number,
        place.leaf_name,
        place.column_name,
        list(row.key),
        row.outcome,
        row.created_at.isoformat() if row.created_at else None,
        row.author,
        row.hash_before.hex(),
        row.hash_after.hex(),
        json.loads(row.edits),
        row.logged_at.isoformat(),
    )
    return dict(zip(_FIELDS, values, strict=True))


def _json_lines(records: Iterator[dict[str, object]]) -> Iterator[str]:
    for record in records:
        yield json.dumps(record, ensure_ascii=False)


def _csv_lines(records: Iterator[dict[str, object]]) -> Iterator[str]:
    yield _csv_line(_FIELDS)
    for record in records:
        yield _csv_line(_csv_cell(value) for value in record.values())


def _csv_cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # A spreadsheet takes a cell that begins so for a formula.
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
