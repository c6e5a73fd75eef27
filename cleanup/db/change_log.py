"""The change log: written in the transaction of the change, read back to undo it, to prove it or to hand it on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

import psycopg
from psycopg.rows import args_row
from psycopg.sql import Composed
from psycopg.types.json import Jsonb

from cleanup.db.arrays import BytesArray, InstantArray, IntegerArray, TextArray
from cleanup.db.connection import Connection
from cleanup.db.instants import read_any_instant
from cleanup.db.keys import Key, read_key, spell_key
from cleanup.db.queries import run_statement, statement
from cleanup.db.selection import Selection

SomeRow = TypeVar("SomeRow", bound="LogRow")

# Stands in hash columns for a value that is NULL.
NULL_HASH: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class LogRow:
    """One changed value: its place, its hashes, and the edits that lead back (compact JSON)."""

    run_id: int
    finding_number: int
    run_pass: int
    leaf_number: int
    column_number: int
    outcome: str
    key: Key
    created_at: datetime | None
    author: str | None
    hash_before: bytes
    hash_after: bytes
    salt: bytes
    edits: str
    chain: bytes
    logged_at: datetime

    def __post_init__(self) -> None:
        # As the ledger has it, where it comes from there.
        object.__setattr__(self, "key", read_key(self.key))


@dataclass(frozen=True, slots=True)
class _LaterRow(LogRow):
    """A log row, and the finding number of the row of another run that it is later than."""

    later_than: int


class LogEntry(NamedTuple):
    """What a batch adds to the log for one finding; the rest is taken from the finding."""

    finding_number: int
    outcome: str
    hash_before: bytes
    hash_after: bytes
    salt: bytes
    edits: str
    chain: bytes
    logged_at: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """The names behind a plan's leaf and column numbers."""

    leaf_number: int
    column_number: int
    table_name: str
    leaf_name: str
    column_name: str


def adding_statement(run_id: int, source_run_id: int | None) -> Composed:
    """The statement that adds to the log: an apply run's rows stand where their findings say, a rollback's where
    the log of the run that it undoes says."""
    return run_statement("change_log.add" if source_run_id is None else "change_log.add_from_log", run_id)


def adding_parameters(
    run_id: int, plan_id: int, source_run_id: int | None, run_pass: int, entries: Sequence[LogEntry]
) -> dict[str, object]:
    """The parameters of `adding_statement`; the entries are of one batch, and so of one instant."""
    return {
        "run_id": run_id,
        **({"plan_id": plan_id} if source_run_id is None else {"source_run_id": source_run_id}),
        "pass": run_pass,
        "numbers": IntegerArray([entry.finding_number for entry in entries]),
        "outcomes": TextArray([entry.outcome for entry in entries]),
        "hashes_before": BytesArray([entry.hash_before for entry in entries]),
        "hashes_after": BytesArray([entry.hash_after for entry in entries]),
        "salts": BytesArray([entry.salt for entry in entries]),
        "edits": TextArray([entry.edits for entry in entries]),
        "chains": BytesArray([entry.chain for entry in entries]),
        "logged_at": entries[0].logged_at,
    }


def page_of_log(connection: Connection, run_id: int, after_number: int, through_number: int, rows: int) -> list[LogRow]:
    """The next rows of a run's log within a range of finding numbers."""
    return _read(
        connection,
        "change_log.page",
        {"run_id": run_id, "after_number": after_number, "through_number": through_number, "rows": rows},
    )


def deferred_log(
    connection: Connection,
    run_id: int,
    source_run_id: int,
    run_pass: int,
    after_number: int,
    through_number: int,
    rows: int,
) -> list[LogRow]:
    """The next log rows that an earlier pass of a rollback put off."""
    return _read(
        connection,
        "change_log.deferred",
        {
            "run_id": run_id,
            "source_run_id": source_run_id,
            "pass": run_pass,
            "after_number": after_number,
            "through_number": through_number,
            "rows": rows,
        },
    )


def selected_log(
    connection: Connection, run_id: int, selection: Selection, after_number: int, through_number: int, rows: int
) -> list[LogRow]:
    """The next rows of a run's log that a rollback undoes, within a range of finding numbers."""
    if selection.is_whole:
        return page_of_log(connection, run_id, after_number, through_number, rows)
    return _read(
        connection,
        "change_log.selected",
        {
            "run_id": run_id,
            "selection": Jsonb(selection.stored()),
            "after_number": after_number,
            "through_number": through_number,
            "rows": rows,
        },
    )


def count_selected(connection: Connection, run_id: int, selection: Selection) -> int:
    """How many rows of a run's log a rollback undoes."""
    row = connection.execute(
        run_statement("change_log.count_selected", run_id), {"run_id": run_id, "selection": Jsonb(selection.stored())}
    ).fetchone()
    assert row is not None
    return int(row[0])


def link_conflicts(connection: Connection, run_id: int) -> list[tuple[int, int, str]]:
    """Finding number, link number and reason of every link that a rollback could not put back."""
    rows = connection.execute(run_statement("change_log.conflicts", run_id), {"run_id": run_id}).fetchall()
    return [(int(finding), int(link), str(reason)) for finding, link, reason in rows]


def conflicting_log(connection: Connection, run_id: int, finding_numbers: Sequence[int]) -> list[LogRow]:
    """A run's log rows of some findings."""
    return _read(connection, "change_log.conflicting", {"run_id": run_id, "numbers": list(finding_numbers)})


def later_log(connection: Connection, rows: Sequence[LogRow]) -> dict[int, list[LogRow]]:
    """What runs of ours did to the same values after these rows of one run, oldest first, by their finding numbers."""
    parameters = {
        "run_id": rows[0].run_id if rows else 0,
        "numbers": IntegerArray([row.finding_number for row in rows]),
        "keys": TextArray([spell_key(row.key) for row in rows]),
        "leaf_numbers": IntegerArray([row.leaf_number for row in rows]),
        "column_numbers": IntegerArray([row.column_number for row in rows]),
        "logged_at": InstantArray([row.logged_at for row in rows]),
    }
    later: dict[int, list[LogRow]] = {}
    for row in _read_as(_LaterRow, connection, "change_log.later", parameters):
        later.setdefault(row.later_than, []).append(row)
    return later


def places(connection: Connection, plan_id: int) -> dict[tuple[int, int], Place]:
    """The plan's places by leaf number and column number."""
    with connection.cursor(row_factory=args_row(Place)) as cursor:
        found = cursor.execute(statement("change_log.places"), {"plan_id": plan_id}).fetchall()
    return {(place.leaf_number, place.column_number): place for place in found}


def _read(connection: Connection, name: str, parameters: dict[str, object]) -> list[LogRow]:
    return _read_as(LogRow, connection, name, parameters)


def _read_as(
    row_type: type[SomeRow], connection: Connection, name: str, parameters: dict[str, object]
) -> list[SomeRow]:
    with connection.cursor(row_factory=args_row(row_type)) as cursor:
        try:
            return cursor.execute(statement(name), parameters, binary=True).fetchall()
        except psycopg.DataError:
            # Perhaps an instant that is none of ours, which is read in another way that takes longer.
            if connection.info.transaction_status is psycopg.pq.TransactionStatus.INERROR:
                raise
        read_any_instant(cursor)
        return cursor.execute(statement(name), parameters, binary=True).fetchall()
