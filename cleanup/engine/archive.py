"""Giving a purged run its log back from an archive: whole and proved, or not at all."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from cleanup.db.archives import add_restoration, known_export, receive_log
from cleanup.db.change_log import LogRow
from cleanup.db.connection import SCAN_LIMITS, Connection
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.ledger import require_ledger
from cleanup.db.plans import get_plan
from cleanup.db.purges import purge_in_force
from cleanup.db.runs import Run, get_run, lock_plan
from cleanup.engine.archive_batches import read_batches
from cleanup.engine.archive_folder import BATCHES, MANIFEST, entry_of
from cleanup.engine.archive_formats import reader_of
from cleanup.engine.archive_manifest import ARCHIVE_VERSION, Manifest, ManifestMalformed, decode_manifest
from cleanup.engine.archive_proof import LogProof, LogUnproved
from cleanup.engine.archive_rows import RowMalformed, row_of
from cleanup.engine.guards import require_home
from cleanup.errors import ArchiveDiffers
from cleanup.event_catalogue import Event
from cleanup.log import tell

_NOT_AS_EXPORTED: Final = "use a folder just as its export left it; `cleanup status RUN` lists the run's archives."


@dataclass(frozen=True, slots=True)
class _Known:
    """An archive that the ledger has recorded, and the run whose log it holds."""

    folder: Path
    manifest: Manifest
    export_id: int
    run: Run


def restore_log(database: Database, folder: Path, run_id: int) -> bool:
    """Give a purged run its log back, in one transaction; False where its log is there already.

    Raises ArchiveDiffers, with nothing written, unless the archive is one that this ledger has recorded, every file
    is as it was exported, and every row leads through its chain and its batch to the head that stayed in the ledger.
    """
    known = database.transact(lambda connection: _look_up(connection, folder, run_id), read_only=True)
    if known is None:
        return False
    with _refusing(folder):
        _require_files(known)
        return database.transact(lambda connection: _restore(connection, known), SCAN_LIMITS)


def _look_up(connection: Connection, folder: Path, run_id: int) -> _Known | None:
    require_ledger(connection)
    run = get_run(connection, run_id)
    if purge_in_force(connection, run_id) is None:
        return None
    require_home(connection, get_plan(connection, run.plan_id))
    with _refusing(folder):
        stored = (folder / MANIFEST).read_bytes()
        manifest = decode_manifest(stored)
    if manifest.run_id != run_id:
        raise _differs(folder, f"it is of run {manifest.run_id} of database {manifest.database}")
    export_id = known_export(connection, run_id, hashlib.sha256(stored).digest())
    if export_id is None:
        raise _differs(folder, f"{MANIFEST} is none that this ledger has recorded: it was altered, or made elsewhere")
    if manifest.archive_version > ARCHIVE_VERSION:
        raise ArchiveDiffers(
            f"{folder} is an archive of version {manifest.archive_version}, this version reads {ARCHIVE_VERSION}",
            hint="use the version of cleanup that made it, or a newer one.",
        )
    return _Known(folder, manifest, export_id, run)


def _require_files(known: _Known) -> None:
    expected = {known.manifest.archive_format.file_name, BATCHES}
    if {entry.name for entry in known.manifest.files} != expected:
        raise ManifestMalformed
    for entry in known.manifest.files:
        if entry_of(known.folder / entry.name, entry.name) != entry:
            raise _differs(known.folder, f"{entry.name} is not as it was exported")


def _restore(connection: Connection, known: _Known) -> bool:
    run = known.run
    # Another job may restore the same log, or purge it again.
    lock_plan(connection, run.plan_id)
    purge = purge_in_force(connection, run.run_id)
    if purge is None:
        return False
    with _open(known.folder / BATCHES) as file:
        proof = LogProof(read_batches(file))
    with _open(known.folder / known.manifest.archive_format.file_name) as file:
        log_rows = receive_log(connection, run.run_id, proof.passing(_rows(known, file)))
    with _open(known.folder / BATCHES) as file:
        proof.require(read_batches(file), run.log_head)
    add_restoration(connection, purge.purge_id, known.export_id, log_rows)
    add_event(connection, Event.RUN_LOG_RESTORED, run_id=run.run_id, export=known.export_id, log_rows=log_rows)
    tell(Event.RUN_LOG_RESTORED, run=run.run_id, export=known.export_id, log_rows=log_rows)
    return True


def _rows(known: _Known, file: BinaryIO) -> Iterator[LogRow]:
    return (row_of(values) for values in reader_of(known.manifest.archive_format)(file))


@contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _differs(folder, f"{error.filename or 'a file'}: {error.strerror or error}") from None
    except ManifestMalformed:
        raise _differs(folder, f"{MANIFEST} is not one that cleanup writes") from None
    except (LogUnproved, RowMalformed) as error:
        raise _differs(folder, str(error)) from None


def _differs(folder: Path, what: str) -> ArchiveDiffers:
    return ArchiveDiffers(f"{folder} is not the archive that was exported: {what}", hint=_NOT_AS_EXPORTED)


def _open(file: Path) -> BinaryIO:
    return file.open("rb")
