"""The log's evidence: a hash chain through each batch, a seal on each batch, one head over all batches of a run.

A row keeps four bytes of its chain value, enough to name the row that was changed. What a batch's head proves is made
of the whole digests of its rows.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cleanup.db.batches import BatchRow
from cleanup.db.keys import spell_key
from cleanup.engine.verdicts import Item

CHAIN_BYTES: Final = 4
CHAIN_START: Final = bytes(CHAIN_BYTES)
SALT_BYTES: Final = 16


def row_digest(
    place: Item,
    *,
    run_id: int,
    run_pass: int,
    outcome: str,
    hashes: tuple[bytes, bytes],
    salt: bytes,
    edits: str,
    logged_at: str,
) -> bytes:
    """A hash over every column of a log row but the chain; `hashes` are those before and after.

    `logged_at` comes as `spelled_instant` spells it. The first row of a batch has a salt, and through it the head: so
    nobody can guess a short link by one. Every part has its length or an end of its own: no two rows look alike.
    """
    before, after = hashes
    numbers = (run_id, run_pass, place.finding_number, place.leaf_number, place.column_number)
    instants = f"{spelled_instant(place.created_at)} {logged_at}"
    texts = " ".join([_part(text) for text in (outcome, place.author, spell_key(place.key))])
    sizes = f"{len(before)} {len(after)} {len(salt)}"
    content = f"{numbers} {instants} {sizes} {texts}".encode()
    return hashlib.sha256(
        b"".join((content, before, after, salt, hashlib.sha256(salt + edits.encode()).digest()))
    ).digest()


def link(previous: bytes, digest: bytes) -> bytes:
    """The chain value of a log row, given that of the row before it in its batch."""
    return hashlib.sha256(previous + digest).digest()[:CHAIN_BYTES]


def rows_hash(digests: Iterable[bytes]) -> bytes:
    """What a batch's head says of its log rows, given their digests in order."""
    return hashlib.sha256(b"".join(digests)).digest()


@dataclass(frozen=True, slots=True)
class BatchContent:
    """What a batch says of itself: its range and lane, its counts, and the findings that it left or put off.

    `unchanged` are findings with outcome and detail, `conflicts` findings with the link's number and the reason.
    """

    run_id: int
    run_pass: int
    after_number: int
    through_number: int
    chunk_number: int
    attempt: int
    lane: int
    findings: int
    outcomes: dict[str, int] | None
    span_outcomes: dict[str, int] | None
    edited: int | None
    log_rows: int | None
    unchanged: Sequence[tuple[int, str, str | None]]
    conflicts: Sequence[tuple[int, int, str]]
    deferred: Sequence[int]


def seal(rows: bytes, content: BatchContent) -> bytes:
    """The head of a batch: over its `rows_hash`, and over everything else that it wrote to the ledger."""
    return _hash(
        [
            rows.hex(),
            content.run_id,
            content.run_pass,
            content.after_number,
            content.through_number,
            content.chunk_number,
            content.attempt,
            content.lane,
            content.findings,
            content.outcomes,
            content.span_outcomes,
            content.edited,
            content.log_rows,
            sorted(list(one) for one in content.unchanged),
            sorted(list(one) for one in content.conflicts),
            sorted(content.deferred),
        ]
    )


def run_head(batches: Iterable[BatchRow]) -> bytes:
    """The head of a run: over its batches' heads in the order of pass and finding number."""
    running = hashlib.sha256()
    for batch in batches:
        place = [batch.run_pass, batch.after_number, batch.through_number]
        end = [_hex(batch.head), _hex(batch.lock_ms), spelled_instant(batch.written_at), batch.retries]
        running.update(_hash([*place, *end]))
    return running.digest()


def _part(text: str | None) -> str:
    return "!None" if text is None else f"{len(text)}:{text}"


def spelled_instant(at: datetime | None) -> str | None:
    """An instant as hashes have it: ISO 8601 in UTC, with six digits behind the second."""
    return at.astimezone(UTC).isoformat(timespec="microseconds") if at else None


def _hex(value: bytes | None) -> str | None:
    return value.hex() if value is not None else None


def _hash(content: Sequence[object]) -> bytes:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).digest()
