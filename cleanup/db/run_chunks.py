"""The chunks of a run: leased to one lane at a time, fenced by an attempt number, taken up again in later passes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from psycopg.rows import args_row

from cleanup.db.connection import Connection
from cleanup.db.queries import run_statement


class RunChunkState(Enum):
    """How a chunk of a run stands; whoever takes one over from a lane that is gone leaves it claimed."""

    OPEN = "open"
    CLAIMED = "claimed"
    DONE = "done"


RUN_CHUNK_TRANSITIONS: Final[Mapping[tuple[RunChunkState, RunChunkState], str]] = {
    (RunChunkState.OPEN, RunChunkState.CLAIMED): "a lane takes it",
    (RunChunkState.CLAIMED, RunChunkState.OPEN): "its lane stops, or a pass ends with rows that somebody held",
    (RunChunkState.CLAIMED, RunChunkState.DONE): "a pass ends with no row left over",
}


@dataclass(frozen=True, slots=True)
class RunChunk:
    """A claimed range of finding numbers in one pass of a run."""

    chunk_number: int
    leaf_number: int
    after_number: int
    through_number: int
    run_pass: int
    attempt: int


def create_for_apply(connection: Connection, run_id: int, plan_id: int) -> None:
    """Give a new run the plan's chunks that have something to do."""
    connection.execute(run_statement("run_chunks.create_for_apply", run_id), {"run_id": run_id, "plan_id": plan_id})


def create_for_rollback(connection: Connection, run_id: int, source_run_id: int) -> None:
    """Give a new rollback the chunks of the run it undoes."""
    connection.execute(
        run_statement("run_chunks.create_for_rollback", run_id), {"run_id": run_id, "source_run_id": source_run_id}
    )


def claim_run_chunk(
    connection: Connection, run_id: int, lease_seconds: int, *, newest_first: bool = False
) -> RunChunk | None:
    """Lease the next chunk, or the last one, in the open transaction; None where all are done or in living hands."""
    with connection.cursor(row_factory=args_row(RunChunk)) as cursor:
        return cursor.execute(
            run_statement("run_chunks.claim", run_id),
            {"run_id": run_id, "lease_seconds": lease_seconds, "newest_first": newest_first},
        ).fetchone()


def renew_run_chunk(connection: Connection, run_id: int, chunk: RunChunk, lease_seconds: int) -> bool:
    """Prolong the lease of a chunk that is still ours; False where it is not."""
    cursor = connection.execute(
        run_statement("run_chunks.renew", run_id), {**_fence(run_id, chunk), "lease_seconds": lease_seconds}
    )
    return cursor.rowcount == 1


def release_run_chunk(connection: Connection, run_id: int, chunk: RunChunk) -> None:
    """Give a chunk back that is still ours."""
    connection.execute(run_statement("run_chunks.release", run_id), _fence(run_id, chunk))


def end_pass(connection: Connection, run_id: int, chunk: RunChunk, position: int) -> bool:
    """End the chunk's pass, done, or open for the next pass where rows were deferred; `position` is how far we came.

    False where the chunk is not ours any more, or the ledger's checkpoint is another one.
    """
    cursor = connection.execute(
        run_statement("run_chunks.end_pass", run_id),
        {
            **_fence(run_id, chunk),
            "pass": chunk.run_pass,
            "after_number": chunk.after_number,
            "through_number": chunk.through_number,
            "position": position,
        },
    )
    return cursor.rowcount == 1


def unfinished_run_chunks(connection: Connection, run_id: int) -> int:
    """How many chunks of the run are not done."""
    row = connection.execute(run_statement("run_chunks.unfinished", run_id), {"run_id": run_id}).fetchone()
    return int(row[0]) if row else 0


def chunks_are_awaited(connection: Connection, run_id: int) -> bool:
    """Whether a lane that got no chunk should ask again later."""
    row = connection.execute(run_statement("run_chunks.awaited", run_id), {"run_id": run_id}).fetchone()
    return bool(row and row[0])


def _fence(run_id: int, chunk: RunChunk) -> dict[str, object]:
    return {"run_id": run_id, "chunk_number": chunk.chunk_number, "attempt": chunk.attempt}
