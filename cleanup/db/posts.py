"""Reading posts by key, outside of any batch."""

from collections.abc import Sequence

from cleanup.db.batch_exchange import LockedRow
from cleanup.db.change_log import NULL_HASH
from cleanup.db.connection import Connection
from cleanup.db.keys import Key
from cleanup.db.targets import SCOPES, Target


def present_hashes(connection: Connection, target: Target, keys: Sequence[Key]) -> dict[Key, dict[int, bytes]]:
    """SHA-256 of every configured column of some rows by key and column number; a row that is gone is left out."""
    rows = connection.execute(target.hashes(), target.key_parameters(keys)).fetchall()
    return {
        keys[int(place) - 1]: {
            column.number: NULL_HASH if value is None else bytes(value)
            for column, value in zip(target.table.columns, values, strict=True)
        }
        for place, *values in rows
    }


def present_rows(connection: Connection, target: Target, keys: Sequence[Key]) -> dict[Key, LockedRow]:
    """Some rows as they are, without a lock; a row that is gone is left out."""
    rows = connection.execute(target.read(), target.key_parameters(keys)).fetchall()
    return {keys[int(place) - 1]: LockedRow(SCOPES[str(scope)[0]], tuple(texts)) for place, scope, *texts in rows}
