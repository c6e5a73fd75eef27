"""The manifest of an archive: whose log it is, how it was made, and the hash of every other file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from cleanup import VERSION
from cleanup.db.archives import Signature
from cleanup.db.plans import Plan
from cleanup.db.runs import Run
from cleanup.engine.archive_folder import FileEntry

# Raised whenever an older reader would no longer understand what is written.
ARCHIVE_VERSION: Final = 1


class ArchiveFormat(Enum):
    """In what form an archive has the log rows; its file of rows is named after it."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"

    @property
    def file_name(self) -> str:
        """The file with the rows."""
        return f"log.{self.value}"


@dataclass(frozen=True, slots=True)
class Contents:
    """What has been written when the manifest is made."""

    archive_format: ArchiveFormat
    log_rows: int
    batches: int
    files: tuple[FileEntry, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The part of a manifest that a reader goes by; the rest is for people."""

    archive_version: int
    archive_format: ArchiveFormat
    run_id: int
    database: str
    log_head: str
    log_rows: int
    files: tuple[FileEntry, ...]


class ManifestMalformed(ValueError):
    """A manifest is not one that this version writes."""


def encode_manifest(run: Run, plan: Plan, contents: Contents, maker: Signature) -> bytes:
    """The manifest as it is written."""
    identity = plan.database_identity
    return _json(
        {
            "archive_version": ARCHIVE_VERSION,
            "cleanup_version": VERSION,
            "format": contents.archive_format.value,
            "log_rows": contents.log_rows,
            "batches": contents.batches,
            "files": [asdict(entry) for entry in contents.files],
            "exported_by": maker.session_user,
            "exported_at": _instant(maker.at),
            "database": asdict(identity),
            "run": {
                "run_id": run.run_id,
                "kind": run.kind.value,
                "state": run.state.value,
                "source_run_id": run.source_run_id,
                "selection": run.selection,
                "planned": run.planned,
                "code_version": run.code_version,
                "started_by": run.started_by,
                "created_at": _instant(run.created_at),
                "finished_at": _instant(run.finished_at),
                "log_head": _hex(run.log_head),
            },
            "plan": {
                "plan_id": plan.plan_id,
                "base_plan_id": plan.base_plan_id,
                "digest": _hex(plan.digest),
                "findings_digest": _hex(plan.findings_digest),
                "policy": plan.policy_name,
                "policy_version": plan.policy_version,
                "policy_digest": _hex(plan.policy_digest),
                "cutover": _instant(plan.cutover),
                "matcher_version": plan.matcher_version,
                "words": list(plan.words),
            },
        }
    )


def decode_manifest(stored: bytes) -> Manifest:
    """What `encode_manifest` wrote, as far as a reader goes by it; raise ManifestMalformed."""
    try:
        content: object = json.loads(stored)
        root = _table(content)
        run, database = _table(root["run"]), _table(root["database"])
        files = root["files"]
        if not isinstance(files, list):
            raise TypeError
        return Manifest(
            archive_version=_number(root["archive_version"]),
            archive_format=ArchiveFormat(root["format"]),
            run_id=_number(run["run_id"]),
            database=f"{database['database_name']!r} of server {database['system_identifier']}",
            log_head=str(run["log_head"]),
            log_rows=_number(root["log_rows"]),
            files=tuple(
                FileEntry(str(entry["name"]), _number(entry["bytes"]), str(entry["sha256"]))
                for entry in map(_table, files)
            ),
        )
    except (ValueError, KeyError, TypeError):
        raise ManifestMalformed from None


def _table(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError
    return value


def _json(content: Mapping[str, object]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _hex(value: bytes | None) -> str | None:
    return value.hex() if value is not None else None
