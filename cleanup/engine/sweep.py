"""The sweep: reading posts for links in scope that nothing accounts for. It writes nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Final, TypeAlias

from cleanup.db.connection import SCAN_LIMITS, Connection
from cleanup.db.copy_rows import copy_pieces
from cleanup.db.database import Database
from cleanup.db.findings import Finding
from cleanup.db.keys import Key
from cleanup.db.outcomes import Left
from cleanup.db.targets import KeyRange, Target
from cleanup.engine.job import Job, describe_tables, leaves_of, resolver, targets_of
from cleanup.engine.matching import Matcher
from cleanup.engine.scan import PIECE_BYTES, Scanner
from cleanup.engine.scan_counts import ScanCounts
from cleanup.links.prefilter import Prefilter
from cleanup.links.words import Words

APPLICATION_NAME: Final = "cleanup verify"
# A table, a column, and a key: a value, in whatever partition it stands.
Value: TypeAlias = tuple[str, str, Key]

_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Place:
    """A value that still holds a link in scope."""

    leaf_name: str
    column_name: str
    key: Key


@dataclass(slots=True)
class Sweep:
    """What a reading of the posts found: values with links in scope that no outcome of the run accounts for.

    `refused` are those that no run could change: too long for their column, or unreadable in their format.
    """

    rows_read: int = 0
    unplanned: int = 0
    known: int = 0
    examples: list[Place] = field(default_factory=list)
    refused: list[Left] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Extent:
    """What a sweep reads: leaves of `planned_leaves` only since `since_xmin`, where that is given, all others whole.

    `known` are the values that are accounted for already.
    """

    since_xmin: str | None = None
    planned_leaves: frozenset[int] = frozenset()
    known: frozenset[Value] = frozenset()


def sweep_posts(database: Database, job: Job, extent: Extent, on_rows: Callable[[int], None]) -> Sweep:
    """Read the configured posts, one snapshot a table; `on_rows` hears how many rows were read so far."""
    # A look-up needs a connection of its own, while the first one streams.
    maps = Database(job.dsn, APPLICATION_NAME)
    prefilter = Prefilter.compile(job.policy, job.formats(), job.pattern_cache)
    reader = _Reader(Matcher(job.policy, resolver(job, maps)), prefilter, extent, on_rows)
    try:
        return _sweep(database, job, reader)
    finally:
        maps.close()


def refusal_left(target: Target, finding: Finding) -> Left:
    """A finding that no run could change, as something that is left."""
    names = {column.number: column.name for column in target.table.columns}
    assert finding.refusal is not None
    return Left(
        finding.finding_number,
        finding.refusal,
        None,
        target.leaf.full_name,
        names[finding.column_number],
        finding.key,
    )


def _targets_now(connection: Connection, job: Job) -> dict[int, Target]:
    tables = describe_tables(connection, job)
    return targets_of(tables, [leaf for _, leaf in leaves_of(connection, tables)], job.policy.cutover)


@dataclass(frozen=True, slots=True)
class _Reader:
    """What a sweep reads with."""

    matcher: Matcher
    prefilter: Prefilter
    extent: Extent
    on_rows: Callable[[int], None]

    def read(self, connection: Connection, leaves: list[Target], rows_before: int) -> Sweep:
        # One snapshot for all leaves of a table: a row that moves between them is seen in exactly one.
        sweep = Sweep()
        for target in leaves:
            since = self.extent.since_xmin if target.leaf.oid in self.extent.planned_leaves else None
            counts = ScanCounts()
            pieces = copy_pieces(connection, target.scan(KeyRange(), since), PIECE_BYTES)
            for findings in Scanner(self.matcher, self.prefilter, target, Words()).findings(pieces, counts):
                _note(sweep, target, findings, self.extent.known)
                self.on_rows(rows_before + sweep.rows_read + counts.rows)
            sweep.rows_read += counts.rows
        return sweep


def _sweep(database: Database, job: Job, reader: _Reader) -> Sweep:
    targets = database.transact(lambda connection: _targets_now(connection, job), read_only=True)
    total = Sweep()
    for _, leaves in groupby(targets.values(), key=lambda target: target.table.name):
        part = database.transact(
            partial(reader.read, leaves=list(leaves), rows_before=total.rows_read),
            SCAN_LIMITS,
            read_only=True,
            one_snapshot=True,
        )
        total.rows_read += part.rows_read
        total.unplanned += part.unplanned
        total.known += part.known
        total.refused += part.refused
        total.examples += part.examples[: _SHOWN - len(total.examples)]
    return total


def _note(sweep: Sweep, target: Target, findings: list[Finding], known: frozenset[Value]) -> None:
    names = {column.number: column.name for column in target.table.columns}
    for finding in findings:
        if not finding.actionable and finding.refusal is None:
            continue
        column = names[finding.column_number]
        if (target.table.name, column, finding.key) in known:
            sweep.known += 1
            continue
        if finding.refusal is not None:
            sweep.refused.append(refusal_left(target, finding))
            continue
        sweep.unplanned += 1
        if len(sweep.examples) < _SHOWN:
            sweep.examples.append(Place(target.leaf.full_name, column, finding.key))
