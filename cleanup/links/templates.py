"""Templates of a rewrite: plain text with named fields that the link itself fills."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FIELDS: Final = ("platform", "kind", "host", "path", "query", "item_id", "url")
_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_ITEM_IN_QUERY: Final = re.compile(
    r"(?:^|[?&#])(?:item_?id|num_iid|id)=([0-9A-Za-z]{4,64})(?![0-9A-Za-z])", re.IGNORECASE
)
_ITEM_IN_PATH: Final = re.compile(r"/i?([0-9]{4,64}|[0-9a-f]{24})(?:\.html?)?/?(?=[?#]|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Template:
    """One template, split into fixed texts and the fields between them."""

    text: str
    fixed: tuple[str, ...]
    fields: tuple[str, ...]

    def fill(self, values: Mapping[str, str]) -> str | None:
        """The result, or None where the link lacks a field that the template names."""
        parts = [self.fixed[0]]
        for field, fixed in zip(self.fields, self.fixed[1:], strict=True):
            value = values.get(field, "")
            if not value:
                return None
            parts += (value, fixed)
        return "".join(parts)


def parse_template(text: str) -> tuple[Template | None, str | None]:
    """The template, or else what is wrong with it."""
    pieces = _FIELD.split(text)
    fixed, fields = tuple(pieces[0::2]), tuple(pieces[1::2])
    for field in fields:
        if field not in FIELDS:
            known = ", ".join(FIELDS)
            return None, f"names the unknown field {{{field}}}; the fields are {known}"
    if any("{" in part or "}" in part for part in fixed):
        return None, "holds a brace that belongs to no field"
    return Template(text, fixed, fields), None


def link_fields(*, platform: str, kind: str, host: str, rest: str, url: str) -> dict[str, str]:
    """What one link offers a template; a field that it lacks is empty.

    `rest` is everything after the host: path, query and fragment as written.
    """
    before_fragment = rest.partition("#")[0]
    path, _, query = before_fragment.partition("?")
    return {
        "platform": platform,
        "kind": kind,
        "host": host,
        "path": path,
        "query": query,
        "item_id": _item_id(path, rest),
        "url": url,
    }


def _item_id(path: str, rest: str) -> str:
    # The named parameter that says most wins, wherever it stands: on some pages `id` is another number.
    best = ""
    for found in _ITEM_IN_QUERY.finditer(rest):
        if not found.group().lstrip("?&#").lower().startswith("id="):
            return found.group(1)
        best = best or found.group(1)
    if best:
        return best
    in_path = _ITEM_IN_PATH.search(path)
    return in_path.group(1) if in_path else ""
