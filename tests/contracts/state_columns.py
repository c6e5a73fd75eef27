"""The columns of states: a row in each state, and everything that writes one."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from cleanup.db.chunks import CHUNK_TRANSITIONS, Chunk, ChunkState, finish_chunk
from cleanup.db.connection import Connection
from cleanup.db.controls import WISH_TRANSITIONS, Wish, ask
from cleanup.db.plans import PLAN_TRANSITIONS, PlanState, finish_plan
from cleanup.db.queries import statement
from cleanup.db.run_chunks import (
    RUN_CHUNK_TRANSITIONS,
    RunChunk,
    RunChunkState,
    claim_run_chunk,
    end_pass,
    release_run_chunk,
)
from cleanup.db.runs import RUN_TRANSITIONS, RunState, close_run, interrupt_run, resume_run

Move: TypeAlias = Callable[[Connection], object]
Way: TypeAlias = "tuple[Enum, Enum]"

# The row that is tried has this number as plan or run; with its one chunk.
TRIED: Final = 7
_CHUNK: Final = Chunk(1, 1, None, None, 1)
_RUN_CHUNK: Final = RunChunk(1, 1, 70_000_000, 70_000_009, 0, 1)


@dataclass(frozen=True, slots=True)
class StateColumn:
    """A column of states: its row, what goes with each state, and what writes the states, by name."""

    table: str
    states: type[Enum]
    ways: Collection[Way]
    columns: str
    values: str
    moves: Mapping[str, tuple[Move, ...]]
    column: str = "state"
    key: str = "run_id"
    beside: Mapping[str, str] = field(default_factory=dict)

    def put(self, connection: Connection, state: Enum) -> None:
        """Insert the row in that state."""
        names = ", ".join([self.columns, self.column, *self.beside])
        values = ", ".join([self.values, "%(state)s::text", *self.beside.values()])
        insert = f"INSERT INTO cleanup.{self.table} ({names}) OVERRIDING SYSTEM VALUE VALUES ({values})"
        connection.execute(insert.encode(), {"state": state.value})

    def write(self, connection: Connection, state: Enum) -> None:
        """Give the row that state, and what goes with it."""
        assignments = ", ".join(
            f"{name} = {value}" for name, value in {self.column: "%(state)s::text", **self.beside}.items()
        )
        update = f"UPDATE cleanup.{self.table} SET {assignments} WHERE {self.key} = {TRIED}"
        assert connection.execute(update.encode(), {"state": state.value}).rowcount == 1

    @contextmanager
    def standing(self, connection: Connection, state: Enum) -> Iterator[None]:
        """The row in that state until the block ends, in a plan that is made or a run that works."""
        with connection.transaction(force_rollback=True):
            if self.table == "chunk":
                PLAN.put(connection, PlanState.SCANNING)
                connection.execute("INSERT INTO cleanup.plan_leaf VALUES (7, 1, 'public.post', 'public.post', '{}', 0)")
            if self.table in ("run_chunk", "control"):
                RUN.put(connection, RunState.RUNNING)
            self.put(connection, state)
            yield


def _call(function: str) -> Move:
    """A call of one of the ledger's own functions."""
    return lambda connection: connection.execute(f"SELECT cleanup.{function}".encode())


def _deferring(move: Move) -> Move:
    """The same where a row of the chunk is left to the next pass."""

    def deferred(connection: Connection) -> object:
        connection.execute("INSERT INTO cleanup.deferral VALUES (7, 1, 70000001)")
        return move(connection)

    return deferred


def _end_pass(connection: Connection) -> bool:
    return end_pass(connection, TRIED, _RUN_CHUNK, _RUN_CHUNK.after_number)


def _closing(state: RunState) -> Move:
    return lambda connection: close_run(connection, TRIED, state)


def _asking(wish: Wish) -> Move:
    return lambda connection: ask(connection, TRIED, wish, "Ana", None)


def _where(states: str, value: str) -> str:
    return f"CASE WHEN %(state)s::text IN ({states}) THEN {value} END"


_ENDED: Final = "'drift_stopped', 'cancelled', 'finished'"
PLAN: Final = StateColumn(
    table="plan",
    states=PlanState,
    ways=PLAN_TRANSITIONS,
    key="plan_id",
    columns="plan_id, code_version, matcher_version, policy_name, policy_version, policy_digest, words, cutover,"
    " settings, database_identity, first_xmin, first_lsn",
    values="7, '', 1, '', '', '', '{}', now(), '{}', '{}', '3', '0/0'",
    beside={"finished_at": _where("'finished'", "now()"), "digest": _where("'finished'", "''::bytea")},
    moves={
        "plans.finish": (lambda connection: finish_plan(connection, TRIED, b"", b""),),
        "plans.abandon_unfinished": (
            lambda connection: connection.execute(statement("plans.abandon_unfinished"), {"except": [1]}),
        ),
    },
)
RUN: Final = StateColumn(
    table="run",
    states=RunState,
    ways=RUN_TRANSITIONS,
    columns="run_id, kind, plan_id, source_run_id, selection, planned, code_version, retention_days",
    values="7, 'rollback', 1, 1, '{}', 0, '', 0",
    beside={"finished_at": _where(_ENDED, "now()"), "log_head": _where(_ENDED, "''::bytea")},
    moves={
        "runs.resume": (lambda connection: resume_run(connection, TRIED),),
        "runs.interrupt": (lambda connection: interrupt_run(connection, TRIED),),
        "cleanup.close_run": tuple(map(_closing, (RunState.FINISHED, RunState.CANCELLED, RunState.DRIFT_STOPPED))),
        "cleanup.open_rollback": (_call("open_rollback(1, 'a test')"),),
    },
)
CHUNK: Final = StateColumn(
    table="chunk",
    states=ChunkState,
    ways=CHUNK_TRANSITIONS,
    key="plan_id",
    columns="plan_id, chunk_number, leaf_number, lease_until, lease_pid, lease_backend",
    values="7, 1, 1, now(), 1, now()",
    beside={
        "counts": _where("'done'", "'{}'::jsonb"),
        "findings": _where("'done'", "0"),
        "actionable": _where("'done'", "0"),
    },
    moves={"chunks.finish": (lambda connection: finish_chunk(connection, TRIED, _CHUNK, 0, 0, {}),)},
)
RUN_CHUNK: Final = StateColumn(
    table="run_chunk",
    states=RunChunkState,
    ways=RUN_CHUNK_TRANSITIONS,
    columns="run_id, chunk_number, leaf_number, after_number, through_number, attempt, lease_until, lease_pid,"
    " lease_backend",
    values="7, 1, 1, 70000000, 70000009, 1, now(), 1, now()",
    moves={
        "run_chunks.claim": (lambda connection: claim_run_chunk(connection, TRIED, 60),),
        "run_chunks.release": (lambda connection: release_run_chunk(connection, TRIED, _RUN_CHUNK),),
        "run_chunks.end_pass": (_end_pass, _deferring(_end_pass)),
        "cleanup.hold_chunk": (_call("hold_chunk(7)"),),
        "cleanup.open_rollback_batch": (
            _call("open_rollback_batch(7, 1, 10)"),
            _deferring(_call("open_rollback_batch(7, 1, 10)")),
        ),
    },
)
CONTROL: Final = StateColumn(
    table="control",
    states=Wish,
    ways=WISH_TRANSITIONS,
    column="wish",
    columns="run_id",
    values="7",
    moves={"cleanup.ask_of_run": tuple(map(_asking, Wish))},
)
COLUMNS: Final = (PLAN, RUN, CHUNK, RUN_CHUNK, CONTROL)
