"""JSON without blanks, in which equal values have an equal text: what is stored, hashed and signed is written so."""

import json
from typing import Final

# Built once: json.dumps makes an encoder for every call that does not ask for its defaults.
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def compact_json(value: object) -> str:
    """One value as JSON in one line, with its characters as they are and its keys in their own order."""
    return _encode(value)
