"""What a batch adds to the change log: each row chained to the one before it, and a hash over all of them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from cleanup.db.change_log import LogEntry
from cleanup.engine.chain import CHAIN_START, SALT_BYTES, link, row_digest, rows_hash, spelled_instant
from cleanup.engine.verdicts import Change, Outcome, SomeItem
from cleanup.links.logged_edits import encode_edits
from cleanup.links.words import Words

Written: TypeAlias = tuple[SomeItem, Change, Outcome]


@dataclass(frozen=True, slots=True)
class LogWriter:
    """Makes the log rows of one batch."""

    run_id: int
    run_pass: int
    words: Words

    def chained(self, written: Sequence[Written[SomeItem]], locked_at: datetime) -> tuple[list[LogEntry], bytes]:
        """The rows of what was written, and what the batch's head says of them."""
        entries: list[LogEntry] = []
        digests: list[bytes] = []
        chain, logged_at = CHAIN_START, str(spelled_instant(locked_at))
        for item, change, outcome in written:
            # What the first row is hashed with goes into every chain value behind it, and into the head.
            salt = b"" if entries else secrets.token_bytes(SALT_BYTES)
            edits = encode_edits(change.edits, change.after or "", self.words)
            hashes = change.hash_before, change.hash_after
            digest = row_digest(
                item,
                run_id=self.run_id,
                run_pass=self.run_pass,
                outcome=outcome.value,
                hashes=hashes,
                salt=salt,
                edits=edits,
                logged_at=logged_at,
            )
            digests.append(digest)
            chain = link(chain, digest)
            entries.append(LogEntry(item.finding_number, outcome.value, *hashes, salt, edits, chain, locked_at))
        return entries, rows_hash(digests)
