"""What goes into a batch's transaction, what comes back, and how it can end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from cleanup.db.batches import Settlement
from cleanup.db.change_log import LogEntry
from cleanup.db.keys import Key
from cleanup.db.run_chunks import RunChunk
from cleanup.db.tables import Fingerprint
from cleanup.db.targets import Scope


@dataclass(frozen=True, slots=True)
class BatchRange:
    """Which findings a batch covers, and for which lane; a rollback's are those of its source run."""

    run_id: int
    plan_id: int
    source_run_id: int | None
    chunk: RunChunk
    after_number: int
    through_number: int
    lane: int
    findings: int
    revision: int
    # How often it was tried before, by cause.
    retries: Mapping[str, int] = field(default_factory=dict)


class LockedRow(NamedTuple):
    """A row under our lock, as it is now; `texts` are in the order of the configured columns."""

    scope: Scope
    texts: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Opening:
    """What the first round trip brought: rows by their place in the batch, the table's fingerprint, and the
    server's clock once the rows were locked."""

    rows: dict[int, LockedRow]
    missing_but_there: frozenset[int]
    fingerprint: Fingerprint | None
    locked_at: datetime


class RowWrite(NamedTuple):
    """New values of one row: by column number the text and its expected hash, both None for NULL."""

    key: Key
    values: Mapping[int, tuple[str | None, bytes | None]]


@dataclass(frozen=True, slots=True)
class RowRefused:
    """The database would not have the row as computed; nothing of it was written."""

    detail: str


class UnchangedFinding(NamedTuple):
    """A finding that the batch leaves as it is, and why."""

    finding_number: int
    outcome: str
    detail: str | None


class LinkConflict(NamedTuple):
    """One link that a rollback leaves as it is, and why."""

    finding_number: int
    link_number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ledgering:
    """Everything that a batch writes beside the posts."""

    entries: Sequence[LogEntry]
    unchanged: Sequence[UnchangedFinding]
    deferred: Sequence[int]
    conflicts: Sequence[LinkConflict]
    settlement: Settlement


class BatchGone(Exception):
    """The chunk is another lane's by now, or the run is not running any more."""


class BatchDone(Exception):
    """Another attempt, perhaps our own before its answer was lost, has done this batch."""


class BatchTooLong(Exception):
    """The server ended the batch for holding its locks too long; nothing of it was written, unless it is done."""

    def __init__(self, sqlstate: str | None) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


class BatchRefused(Exception):
    """The database refuses or alters some row of the batch; nothing of it was written."""
