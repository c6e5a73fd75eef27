"""The schemas of the JSON reports, made from the models: `python -m cleanup.report.json_schema` writes the files."""

import json
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Final, TypeAlias, Union, get_args, get_origin, get_type_hints

from cleanup.report.plan_model import PlanReport
from cleanup.report.run_model import RunReport

_FOLDER: Final = Path(__file__).parent / "schema"
_REPORTS: Final[Mapping[str, type]] = {"plan-report": PlanReport, "run-report": RunReport}
_LEAVES: Final[Mapping[object, dict[str, object]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    types.NoneType: {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
    bytes: {"type": "string", "pattern": "^([0-9a-f]{2})*$"},
}
_Schema: TypeAlias = "dict[str, object]"


def schemas() -> dict[Path, str]:
    """The text of every schema file, by its place."""
    return {_FOLDER / f"{name}.schema.json": _text(name, model) for name, model in _REPORTS.items()}


def _text(name: str, model: type) -> str:
    definitions: dict[str, _Schema] = {}
    reference = _schema_of(model, definitions)
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"cleanup {name.replace('-', ' ')}",
        **reference,
        "$defs": dict(sorted(definitions.items())),
    }
    return json.dumps(whole, indent=2) + "\n"


def _schema_of(kind: object, definitions: dict[str, _Schema]) -> _Schema:
    if kind in _LEAVES:
        return dict(_LEAVES[kind])
    if isinstance(kind, type) and is_dataclass(kind):
        return _object(kind, definitions)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    return _composed(get_origin(kind), get_args(kind), definitions)


def _composed(origin: object, arguments: tuple[object, ...], definitions: dict[str, _Schema]) -> _Schema:
    if origin in (types.UnionType, Union):
        return {"anyOf": [_schema_of(one, definitions) for one in arguments]}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1], definitions)}
    if origin is list or (origin is tuple and arguments[-1] is Ellipsis):
        return {"type": "array", "items": _schema_of(arguments[0], definitions)}
    if origin is tuple:
        items = [_schema_of(one, definitions) for one in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    raise TypeError(f"no schema for {origin}")


def _object(model: type, definitions: dict[str, _Schema]) -> _Schema:
    name = model.__name__
    if name not in definitions:
        definitions[name] = {}
        hints = get_type_hints(model)
        names = [field.name for field in fields(model)]
        definitions[name] = {
            "type": "object",
            "properties": {field: _schema_of(hints[field], definitions) for field in names},
            "required": names,
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{name}"}


if __name__ == "__main__":
    for path, content in schemas().items():
        path.write_text(content, encoding="utf-8")
