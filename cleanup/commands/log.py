"""cleanup log: show a run's change log, make an archive of it or take it back from one, or name the rows it changed."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Final, TypeAlias

import click

from cleanup.commands.options import job_options, load_job
from cleanup.db.change_log import LogRow, Place, places
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import get_plan
from cleanup.db.purges import require_log
from cleanup.db.runs import get_run
from cleanup.engine.archive import restore_log
from cleanup.engine.archive_export import export_log
from cleanup.engine.archive_manifest import ArchiveFormat
from cleanup.engine.archive_text import csv_line, guarded
from cleanup.engine.conflicts import ConflictCase, conflicts_of
from cleanup.engine.job import Job
from cleanup.engine.log_stream import stream_log
from cleanup.errors import UsageInvalid
from cleanup.links.edits import EditMismatch
from cleanup.links.logged_edits import plain_edits
from cleanup.links.words import Words
from cleanup.report.as_text import shown

Record: TypeAlias = dict[str, object]
Render: TypeAlias = Callable[[tuple[str, ...], Iterator[Record]], Iterator[str]]

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
_KEY_FIELDS: Final = ("table", "key", "author")


@dataclass(frozen=True, slots=True)
class _Names:
    """What the numbers in a log stand for: places by leaf and column, and the words of the plan."""

    places: Mapping[tuple[int, int], Place]
    words: Words


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be printed: every logged value, or every changed row once."""

    fields: tuple[str, ...]
    records: Callable[[Iterable[LogRow], _Names], Iterator[Record]]


@click.command("log")
@job_options
@click.argument("run_id", metavar="RUN", type=int)
@click.option(
    "--format",
    "format_name",
    type=click.Choice([one.value for one in ArchiveFormat]),
    default=ArchiveFormat.JSONL.value,
    show_default=True,
    help="In which form; parquet goes with --export.",
)
@click.option(
    "--export",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Make an archive in a new folder: the log, its proof and a manifest; `rollback --archive` takes it.",
)
@click.option(
    "--restore",
    "archive",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Give a purged run its log back from an archive, for a dry run or a rollback.",
)
@click.option(
    "--changed-keys", is_flag=True, help="Name each changed row once, without texts: for search indexes and caches."
)
@click.option(
    "--conflicts",
    is_flag=True,
    help="List the links that a rollback could not put back, with the texts of today (the config says where).",
)
def command(
    config_file: Path,
    dsn: str,
    run_id: int,
    format_name: str,
    folder: Path | None,
    archive: Path | None,
    changed_keys: bool,
    conflicts: bool,
) -> None:
    """Write a run's change log to standard output. It holds the removed links: handle it as sensitive."""
    archive_format = ArchiveFormat(format_name)
    if sum((changed_keys, conflicts, folder is not None, archive is not None)) > 1:
        raise UsageInvalid(
            "--export, --restore, --changed-keys and --conflicts do not go together",
            hint="give them one after the other.",
        )
    if archive_format is ArchiveFormat.PARQUET and folder is None and archive is None:
        raise UsageInvalid("parquet is no text", hint="name a folder with --export DIR.")
    database = Database(dsn, "cleanup log")
    try:
        if folder is not None:
            _export(database, run_id, folder, archive_format)
        elif archive is not None:
            _restore(database, run_id, archive)
        elif conflicts:
            _print_conflicts(database, load_job(config_file, dsn), run_id, _renderer(archive_format))
        else:
            order = _Order(_KEY_FIELDS, _key_records) if changed_keys else _Order(_FIELDS, _records)
            _print(database, run_id, order, _renderer(archive_format))
    finally:
        database.close()


def _export(database: Database, run_id: int, folder: Path, archive_format: ArchiveFormat) -> None:
    exported = export_log(database, run_id, folder, archive_format)
    click.echo(
        f"run {run_id}: {exported.log_rows:,} log rows exported to {shown(exported.place)}\n"
        f"  manifest  {exported.sha256}\n"
        "  it holds the removed links: keep it as safe as the posts, and delete it when its time has come"
    )


def _restore(database: Database, run_id: int, archive: Path) -> None:
    if restore_log(database, archive, run_id):
        click.echo(f"run {run_id} has its log back; `cleanup purge {run_id}` deletes it again")
    else:
        click.echo(f"run {run_id} has its log: nothing to do")


def _renderer(archive_format: ArchiveFormat) -> Render:
    return _csv_lines if archive_format is ArchiveFormat.CSV else _json_lines


def _print_conflicts(database: Database, job: Job, run_id: int, render: Render) -> None:
    cases = database.transact(lambda connection: list(conflicts_of(connection, job, run_id)), read_only=True)
    records = ({**asdict(case), "key": list(case.key), "reason": case.reason.value} for case in cases)
    for line in render(tuple(field.name for field in fields(ConflictCase)), records):
        click.echo(line)


def _print(database: Database, run_id: int, order: _Order, render: Render) -> None:
    names = database.transact(lambda connection: _names(connection, run_id), read_only=True)
    for line in render(order.fields, order.records(stream_log(database, run_id), names)):
        click.echo(line)


def _names(connection: Connection, run_id: int) -> _Names:
    require_ledger(connection)
    run = get_run(connection, run_id)
    require_log(connection, run_id)
    return _Names(places(connection, run.plan_id), Words(get_plan(connection, run.plan_id).words))


def _records(rows: Iterable[LogRow], names: _Names) -> Iterator[Record]:
    for row in rows:
        place = names.places[row.leaf_number, row.column_number]
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
            _shown_edits(row, names.words),
            row.logged_at.isoformat(),
        )
        yield dict(zip(_FIELDS, values, strict=True))


def _shown_edits(row: LogRow, words: Words) -> object:
    try:
        return plain_edits(row.edits, words)
    except EditMismatch:
        # Not as it was written; `cleanup verify` says which rows are not.
        return row.edits


def _key_records(rows: Iterable[LogRow], names: _Names) -> Iterator[Record]:
    # The columns of a row are neighbours in the log.
    for (leaf_number, key), group in groupby(rows, key=lambda row: (row.leaf_number, row.key)):
        row = next(group)
        table = names.places[leaf_number, row.column_number].table_name
        yield dict(zip(_KEY_FIELDS, (table, list(key), row.author), strict=True))


def _json_lines(names: tuple[str, ...], records: Iterator[Record]) -> Iterator[str]:
    del names
    for record in records:
        yield json.dumps(record, ensure_ascii=False)


def _csv_lines(names: tuple[str, ...], records: Iterator[Record]) -> Iterator[str]:
    yield csv_line(names).rstrip("\n")
    for record in records:
        yield csv_line(_csv_cell(value) for value in record.values()).rstrip("\n")


def _csv_cell(value: object) -> str:
    if value is None or isinstance(value, str):
        return guarded(value)
    return guarded(json.dumps(value, ensure_ascii=False))
