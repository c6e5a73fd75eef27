"""Findings: sent by binary COPY in the transaction that finishes their chunk, read back in pages."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self, TypeAlias

from psycopg import sql
from psycopg.rows import args_row

from cleanup.db.connection import Connection
from cleanup.db.copy_rows import copy_pieces, split_row
from cleanup.db.keys import Key, read_key, spell_key
from cleanup.db.queries import comment, statement

# A finding's number is its chunk's number times this, plus its place in the chunk.
FINDINGS_PER_CHUNK: Final = 10_000_000

# A leaf's name, a column's name, and a key in the leaf.
FindingPlace: TypeAlias = tuple[str, str, Key]

_TYPES: Final = (
    "int4",
    "int8",
    "int2",
    "int2",
    "text",
    "bool",
    "text",
    "text",
    "timestamptz",
    "text",
    "bytea",
    "bytea",
    "text",
)


# A raw row of `in_digest_order` has a field count, the hash behind its length, and the length of a place or of NULL.
_WHOLE_HASH: Final = slice(6, 38)
_WITHOUT_PLACE: Final = 42
_DIGEST_PIECE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """One column of one row with its spans.

    `spans` is the compact JSON of the engine; `value_hash` is SHA-256 over the column's text in
    UTF-8, `finding_hash` the first 8 bytes of one over everything that the plan says of the value.
    """

    finding_number: int
    leaf_number: int
    column_number: int
    scope: str
    actionable: bool
    refusal: str | None
    key: Key
    created_at: datetime | None
    author: str | None
    value_hash: bytes
    finding_hash: bytes
    spans: str

    def __post_init__(self) -> None:
        # As the ledger has it, where it comes from there.
        object.__setattr__(self, "key", read_key(self.key))

    def sign(self, finding_hash: bytes) -> Self:
        """Give the finding that is just being made its hash, which is over all the rest of it."""
        assert not self.finding_hash, "a finding is signed once"
        object.__setattr__(self, "finding_hash", finding_hash)
        return self


def first_number(chunk_number: int) -> int:
    """The number before the first finding of a chunk."""
    return chunk_number * FINDINGS_PER_CHUNK


def copy_findings(connection: Connection, plan_id: int, findings: Iterable[Finding]) -> None:
    """Send findings in the open transaction."""
    with connection.cursor() as cursor, cursor.copy(statement("findings.receive")) as copy:
        copy.set_types(_TYPES)
        for finding in findings:
            copy.write_row(
                (
                    plan_id,
                    finding.finding_number,
                    finding.leaf_number,
                    finding.column_number,
                    finding.scope,
                    finding.actionable,
                    finding.refusal,
                    spell_key(finding.key),
                    finding.created_at,
                    finding.author,
                    finding.value_hash,
                    finding.finding_hash,
                    finding.spans,
                )
            )


def analyze_findings(connection: Connection, plan_id: int) -> None:
    """Take the statistics of a plan's findings, once all of them are there."""
    connection.execute(statement("findings.analyze"), {"plan_id": plan_id})


def hashes_in_digest_order(connection: Connection, plan_id: int) -> Iterator[tuple[bytes, FindingPlace | None]]:
    """Every finding's whole hash in the digest's order, computed anew and streamed; must run inside a transaction.

    Where the finding itself says another one, its place comes with it.
    """
    rows = statement("findings.in_digest_order", plan_id=sql.Literal(plan_id))
    send = sql.SQL("{}COPY ({}) TO STDOUT (FORMAT BINARY)").format(comment("findings.in_digest_order"), rows)
    for piece in copy_pieces(connection, send, _DIGEST_PIECE_BYTES):
        buffer, start = piece.buffer, 0
        for end in piece.ends:
            # None that is as signed is taken apart any further: there may be a hundred million.
            whole_hash = buffer[start + _WHOLE_HASH.start : start + _WHOLE_HASH.stop]
            yield whole_hash, None if end - start == _WITHOUT_PLACE else _place(buffer[start:end])
            start = end


def _place(row: bytes) -> FindingPlace:
    _, place = split_row(row)
    leaf_name, column_name, key = json.loads(place or b"")
    return leaf_name, column_name, read_key(key)


def page_of_findings(
    connection: Connection, plan_id: int, after_number: int, through_number: int, findings: int
) -> list[Finding]:
    """The next findings that a run has to do within a range of numbers."""
    return _read(
        connection,
        "findings.page",
        {"plan_id": plan_id, "after_number": after_number, "through_number": through_number, "findings": findings},
    )


def deferred_findings(
    connection: Connection,
    plan_id: int,
    run_id: int,
    run_pass: int,
    after_number: int,
    through_number: int,
    findings: int,
) -> list[Finding]:
    """The next findings that an earlier pass put off."""
    return _read(
        connection,
        "findings.deferred",
        {
            "plan_id": plan_id,
            "run_id": run_id,
            "pass": run_pass,
            "after_number": after_number,
            "through_number": through_number,
            "findings": findings,
        },
    )


def sample_of_findings(connection: Connection, plan_id: int, every: int, findings: int) -> list[Finding]:
    """A fixed sample, spread evenly over the plan: about each `every`-th finding, at most `findings`."""
    return _read(connection, "findings.sample", {"plan_id": plan_id, "every": every, "findings": findings})


def all_findings(connection: Connection, plan_id: int, after_number: int, findings: int) -> list[Finding]:
    """The next findings of any kind by number."""
    return _read(connection, "findings.all", {"plan_id": plan_id, "after_number": after_number, "findings": findings})


def refused_findings(connection: Connection, plan_id: int) -> list[Finding]:
    """Every value that the plan refused to change, with the reason in `refusal`."""
    return _read(connection, "findings.refused", {"plan_id": plan_id})


def _read(connection: Connection, name: str, parameters: dict[str, object]) -> list[Finding]:
    with connection.cursor(row_factory=args_row(Finding)) as cursor:
        return cursor.execute(statement(name), parameters, binary=True).fetchall()
