"""The batches of an archived run, one JSON object a line: what leads from its rows' chains to its head."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from typing import BinaryIO, Final

from cleanup.compact_json import compact_json
from cleanup.db.archives import SettledBatch
from cleanup.engine.archive_rows import RowMalformed

_NAMES: Final = tuple(field.name for field in fields(SettledBatch))
_BYTES: Final = frozenset({"head", "lock_ms"})


def write_batches(file: BinaryIO, batches: Iterable[SettledBatch]) -> None:
    """Every field by its name, bytes in hexadecimal."""
    for batch in batches:
        record = {name: _plain(getattr(batch, name)) for name in _NAMES}
        file.write(compact_json(record).encode() + b"\n")


def read_batches(file: BinaryIO) -> Iterator[SettledBatch]:
    """The batches of `write_batches`; raise RowMalformed where it did not write them."""
    for line in file:
        try:
            record: object = json.loads(line)
        except ValueError:
            raise RowMalformed("a batch is no JSON in UTF-8") from None
        if not isinstance(record, dict) or record.keys() != set(_NAMES):
            raise RowMalformed("a batch has other fields")
        try:
            yield _batch(record)
        except (TypeError, ValueError):
            raise RowMalformed("a batch has other values") from None


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def _batch(record: Mapping[str, object]) -> SettledBatch:
    values = dict(record)
    for name in _BYTES:
        stored = values[name]
        values[name] = bytes.fromhex(str(stored)) if stored is not None else None
    values["written_at"] = datetime.fromisoformat(str(values["written_at"]))
    return SettledBatch(**values)  # type: ignore[arg-type]  # proved by their hashes, which cover every value
