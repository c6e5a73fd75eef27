"""Exporting a closed run's log: an archive that proves itself, and that the ledger knows of."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cleanup.db.archives import add_export, signature
from cleanup.db.change_log import LogRow, Place, places
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import Plan, get_plan
from cleanup.db.purges import require_log
from cleanup.db.runs import Run, get_run
from cleanup.engine.archive_batches import write_batches
from cleanup.engine.archive_folder import BATCHES, MANIFEST, NewArchive
from cleanup.engine.archive_formats import FILE_NAMES, Write, writer_of
from cleanup.engine.archive_manifest import ArchiveFormat, Contents, encode_manifest
from cleanup.engine.archive_proof import LogProof, LogUnproved
from cleanup.engine.archive_rows import Value, values_of
from cleanup.engine.log_stream import stream_batches, stream_log
from cleanup.errors import LogNotWhole, RunUnfinished
from cleanup.event_catalogue import Event
from cleanup.log import tell


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished archive."""

    run_id: int
    place: str
    format: str
    log_rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Subject:
    run: Run
    plan: Plan
    names: Mapping[tuple[int, int], Place]


def export_log(database: Database, run_id: int, folder: Path, archive_format: ArchiveFormat) -> Exported:
    """Write a closed run's log with its proof into a new folder, and record where it lies.

    Raises RunUnfinished, LogPurged, LogNotWhole where the log does not lead to its head, FolderUnusable, and
    LibraryMissing. Each page is read in a transaction of its own: a closed run's log does not change.
    """
    write = writer_of(archive_format)
    subject = database.transact(lambda connection: _subject(connection, run_id), read_only=True)
    archive = NewArchive(folder, FILE_NAMES)
    with archive.open():
        # First of all, so that even an export that is killed leaves word of where its file lies.
        database.transact(
            lambda connection: add_event(
                connection, Event.LOG_EXPORT_BEGUN, run_id=run_id, place=archive.place, format=archive_format.value
            )
        )
        try:
            contents = _write(database, subject, archive, archive_format, write)
        except LogUnproved as error:
            # It may be gone since.
            database.transact(lambda connection: require_log(connection, run_id), read_only=True)
            raise LogNotWhole(
                f"the log of run {run_id} does not prove itself: {error}",
                hint=f"`cleanup verify {run_id}` names every row; `cleanup log {run_id}` prints the rows as they are.",
            ) from None
        return _record(database, subject, archive, contents)


def _subject(connection: Connection, run_id: int) -> _Subject:
    require_ledger(connection)
    run = get_run(connection, run_id)
    if run.state.is_open:
        raise RunUnfinished(
            f"run {run_id} is {run.state.value}: its log has no head yet",
            hint="let it finish first, or cancel it; only a closed run makes an archive.",
        )
    require_log(connection, run_id)
    return _Subject(run, get_plan(connection, run.plan_id), places(connection, run.plan_id))


def _write(
    database: Database, subject: _Subject, archive: NewArchive, archive_format: ArchiveFormat, write: Write
) -> Contents:
    run = subject.run
    proof = LogProof(stream_batches(database, run.run_id))
    rows = proof.passing(stream_log(database, run.run_id))
    with archive.writing(archive_format.file_name) as file:
        write(file, _named(rows, subject.names))
    with archive.writing(BATCHES) as file:
        write_batches(file, stream_batches(database, run.run_id))
    proof.require(stream_batches(database, run.run_id), run.log_head)
    files = tuple(archive.entry(name) for name in (archive_format.file_name, BATCHES))
    for entry in files:
        archive.settle(entry.name)
    return Contents(archive_format, proof.rows, proof.batches, files)


def _record(database: Database, subject: _Subject, archive: NewArchive, contents: Contents) -> Exported:
    run_id = subject.run.run_id
    maker = database.transact(signature, read_only=True)
    with archive.writing(MANIFEST) as file:
        file.write(encode_manifest(subject.run, subject.plan, contents, maker))
    sha256 = archive.entry(MANIFEST).sha256
    database.transact(
        lambda connection: add_export(
            connection,
            run_id,
            place=archive.place,
            archive_format=contents.archive_format.value,
            sha256=bytes.fromhex(sha256),
            log_rows=contents.log_rows,
        )
    )
    archive.settle(MANIFEST)
    tell(Event.LOG_EXPORTED, run=run_id, place=archive.place, log_rows=contents.log_rows, manifest=sha256)
    return Exported(run_id, archive.place, contents.archive_format.value, contents.log_rows, sha256)


def _named(rows: Iterable[LogRow], names: Mapping[tuple[int, int], Place]) -> Iterator[tuple[Value, ...]]:
    for row in rows:
        yield values_of(row, names[row.leaf_number, row.column_number])
