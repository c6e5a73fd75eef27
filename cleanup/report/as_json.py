"""The JSON rendering: the model as it is, keys in its own order."""

import json
import re
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from cleanup.links.explain import visible

# Whatever is no letter, digit, sign or blank of ASCII may hide or reorder what stands beside it on a terminal.
_HIDDEN: Final = re.compile(r"[^\n -~\w]")


def render_json(model: object) -> str:
    """A model as one JSON document, indented, in UTF-8."""
    return _HIDDEN.sub(_escape, json.dumps(_plain(model), ensure_ascii=False, indent=2)) + "\n"


def render_json_line(model: object) -> str:
    """The same in one line."""
    return _HIDDEN.sub(_escape, json.dumps(_plain(model), ensure_ascii=False)) + "\n"


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1] if match[0] != visible(match[0]) else match[0]


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | frozenset | set):
        return [_plain(item) for item in value]
    return _plain_leaf(value)


def _plain_leaf(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return value.value if isinstance(value, Enum) else value
