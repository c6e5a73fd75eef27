"""Chunks: claimed in short transactions, scanned outside of any, finished with their findings."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from psycopg.rows import args_row
from psycopg.types.json import Jsonb

from cleanup.db.connection import Connection
from cleanup.db.keys import Key
from cleanup.db.queries import statement
from cleanup.db.targets import KeyRange, Target

Counts = dict[str, object]


class ChunkState(Enum):
    """How a chunk stands; whoever takes one over from a lane that is gone leaves it claimed."""

    CLAIMED = "claimed"
    DONE = "done"


CHUNK_TRANSITIONS: Final[Mapping[tuple[ChunkState, ChunkState], str]] = {
    (ChunkState.CLAIMED, ChunkState.DONE): "its counts and findings are committed",
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A claimed chunk; only the lane whose attempt number it is can finish it."""

    chunk_number: int
    leaf_number: int
    after_key: Key | None
    through_key: Key | None
    attempt: int

    @property
    def key_range(self) -> KeyRange:
        """The keys of the chunk."""
        return KeyRange(self.after_key, self.through_key)


@dataclass(frozen=True, slots=True)
class ChunkCounts:
    """What one finished chunk counted."""

    leaf_number: int
    findings: int
    actionable: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class _Last:
    chunk_number: int
    leaf_number: int
    through_key: list[str] | None


def claim_chunk(
    connection: Connection, plan_id: int, targets: dict[int, Target], chunk_rows: int, lease_seconds: int
) -> Chunk | None:
    """Take over a chunk whose lane is gone, or cut the next one; None where nothing is left to claim.

    The boundary is found by the key's index in the same transaction that inserts the chunk, under a
    lock on the plan's row, so chunks follow one another without gap or overlap.
    """
    scanning = connection.execute(statement("chunks.lock_plan"), {"plan_id": plan_id}).fetchone()
    if scanning is None or not scanning[0]:
        return None
    abandoned = _take_over(connection, plan_id, lease_seconds)
    if abandoned is not None:
        return abandoned
    place = next_place(connection, plan_id, targets)
    if place is None:
        return None
    chunk_number, leaf_number, after = place
    row = connection.execute(targets[leaf_number].boundary(after), {"rows": chunk_rows}).fetchone()
    through = tuple(row[0]) if row else None
    claimed = connection.execute(
        statement("chunks.claim"),
        {
            "plan_id": plan_id,
            "chunk_number": chunk_number,
            "leaf_number": leaf_number,
            "after_key": _stored(after),
            "through_key": _stored(through),
            "lease_seconds": lease_seconds,
        },
    ).fetchone()
    assert claimed is not None
    return Chunk(chunk_number, leaf_number, after, through, int(claimed[0]))


def _take_over(connection: Connection, plan_id: int, lease_seconds: int) -> Chunk | None:
    with connection.cursor(row_factory=args_row(_chunk)) as cursor:
        cursor.execute(statement("chunks.take_over"), {"plan_id": plan_id, "lease_seconds": lease_seconds})
        return cursor.fetchone()


def _chunk(
    chunk_number: int, leaf_number: int, after_key: list[str] | None, through_key: list[str] | None, attempt: int
) -> Chunk:
    after = tuple(after_key) if after_key is not None else None
    through = tuple(through_key) if through_key is not None else None
    return Chunk(chunk_number, leaf_number, after, through, attempt)


def _stored(key: Key | None) -> list[str] | None:
    return list(key) if key is not None else None


def next_place(connection: Connection, plan_id: int, targets: dict[int, Target]) -> tuple[int, int, Key | None] | None:
    """Number, leaf and starting key of the next chunk; None where every leaf is cut to its end."""
    with connection.cursor(row_factory=args_row(_Last)) as cursor:
        last = cursor.execute(statement("chunks.last"), {"plan_id": plan_id}).fetchone()
    if last is None:
        return (1, min(targets), None)
    if last.through_key is not None:
        return (last.chunk_number + 1, last.leaf_number, tuple(last.through_key))
    following = sorted(number for number in targets if number > last.leaf_number)
    return (last.chunk_number + 1, following[0], None) if following else None


def finish_chunk(
    connection: Connection, plan_id: int, chunk: Chunk, findings: int, actionable: int, counts: Counts
) -> bool:
    """Mark a chunk done in the open transaction; False where the attempt is no longer ours."""
    cursor = connection.execute(
        statement("chunks.finish"),
        {
            "plan_id": plan_id,
            "chunk_number": chunk.chunk_number,
            "attempt": chunk.attempt,
            "leaf_number": chunk.leaf_number,
            "after_key": _stored(chunk.after_key),
            "through_key": _stored(chunk.through_key),
            "findings": findings,
            "actionable": actionable,
            "counts": Jsonb(counts),
        },
    )
    return cursor.rowcount == 1


def unfinished_chunks(connection: Connection, plan_id: int) -> int:
    """How many claimed chunks are not done."""
    row = connection.execute(statement("chunks.unfinished"), {"plan_id": plan_id}).fetchone()
    return int(row[0]) if row else 0


def chunk_counts(connection: Connection, plan_id: int) -> list[ChunkCounts]:
    """The counts of each finished chunk, in order."""
    with connection.cursor(row_factory=args_row(ChunkCounts)) as cursor:
        return cursor.execute(statement("chunks.counts"), {"plan_id": plan_id}).fetchall()


def renew_chunk(connection: Connection, plan_id: int, chunk: Chunk, lease_seconds: int) -> bool:
    """Prolong the lease of a chunk that is still ours; False where it is not."""
    cursor = connection.execute(
        statement("chunks.renew"),
        {
            "plan_id": plan_id,
            "chunk_number": chunk.chunk_number,
            "attempt": chunk.attempt,
            "lease_seconds": lease_seconds,
        },
    )
    return cursor.rowcount == 1


def actionable_findings(connection: Connection, plan_id: int) -> int:
    """How many findings a run of the plan has to visit."""
    row = connection.execute(statement("chunks.actionable"), {"plan_id": plan_id}).fetchone()
    return int(row[0]) if row else 0


def plan_progress(connection: Connection, plan_id: int) -> tuple[int, int]:
    """How many rows the plan has read, and how many the catalog expects."""
    row = connection.execute(statement("chunks.progress"), {"plan_id": plan_id}).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def refused_values(connection: Connection, plan_id: int) -> int:
    """How many values the plan found and could not change."""
    row = connection.execute(statement("chunks.refused"), {"plan_id": plan_id}).fetchone()
    return int(row[0]) if row else 0
