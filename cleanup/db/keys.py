"""A row's key as the ledger stores it: compact JSON of its columns' texts, in the order of its index."""

import json
from collections.abc import Sequence
from typing import TypeAlias

from cleanup.compact_json import compact_json

Key: TypeAlias = tuple[str, ...]


def spell_key(key: Sequence[str]) -> str:
    """The key as JSON; equal keys have an equal text."""
    return f"[{','.join(map(compact_json, key))}]"


def read_key(stored: Key | str) -> Key:
    """The key behind what `spell_key` wrote; what it did not write is a key that no row has."""
    if isinstance(stored, tuple):
        return stored
    only = stored[2:-2]
    if stored == f'["{only}"]' and only.replace("-", "").isalnum():
        # As nearly all are: a fifth of the time that a parser takes.
        return (only,)
    try:
        parts = json.loads(stored)
    except (ValueError, RecursionError):
        parts = None
    if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
        return tuple(parts)
    return ("unreadable", "key", stored)
