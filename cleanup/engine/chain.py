"""The log's evidence: a hash chain through each batch, and one head over all batches of a run."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Final

from cleanup.db.batches import BatchHead

CHAIN_START: Final = b"\x00" * 32
SALT_BYTES: Final = 16


def link(previous: bytes, *, salt: bytes, place: Sequence[object], hashes: tuple[bytes, bytes], edits: str) -> bytes:
    """The chain value of one log row. Texts enter salted, so that a chain says nothing about a short link.

    `place` is run, pass, finding number, outcome and value id; `hashes` are those before and after.
    """
    text = hashlib.sha256(salt + edits.encode()).hexdigest()
    content = json.dumps([*place, hashes[0].hex(), hashes[1].hex(), text], separators=(",", ":"))
    return hashlib.sha256(previous + content.encode()).digest()


def run_head(heads: Iterable[BatchHead]) -> bytes:
    """The head of a run: over its batches' heads in the order of pass and finding number."""
    running = hashlib.sha256()
    for batch in heads:
        running.update(
            json.dumps(
                [batch.run_pass, batch.after_number, batch.through_number, batch.log_rows, batch.head.hex()],
                separators=(",", ":"),
            ).encode()
        )
    return running.digest()
