"""Installing and upgrading the ledger, and refusing to work on one that does not fit."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from cleanup.db.connection import Connection
from cleanup.db.queries import literal_sql, statement
from cleanup.errors import LedgerDiffers, LedgerMissing
from cleanup.resources import sql_directory

_FILE_NAME: Final = re.compile(r"(\d{4})_(\w+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the ledger's schema; `text` is what runs and what `init --sql` prints."""

    number: int
    name: str
    text: str


@cache
def migrations() -> tuple[Migration, ...]:
    """Every migration that ships with this version, in order."""
    found: list[Migration] = []
    for file in sorted((sql_directory() / "migrations").glob("*.sql")):
        match = _FILE_NAME.fullmatch(file.name)
        assert match is not None, file
        found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    return tuple(found)


def installed_version(connection: Connection) -> int:
    """The number of the newest migration applied; 0 where there is no ledger."""
    row = connection.execute(statement("ledger.installed")).fetchone()
    if row is None or not row[0]:
        return 0
    version = connection.execute(statement("ledger.version")).fetchone()
    return int(version[0] or 0) if version else 0


def install(connection: Connection) -> tuple[Migration, ...]:
    """Apply the missing migrations in the open transaction; return them. Does nothing where none is missing."""
    connection.execute(statement("ledger.serialize_install"))
    present = installed_version(connection)
    _refuse_newer(present)
    missing = tuple(step for step in migrations() if step.number > present)
    for step in missing:
        connection.execute(literal_sql(step.text))
        connection.execute(statement("ledger.record_migration"), {"number": step.number, "name": step.name})
    return missing


def install_script() -> str:
    """Everything `init` would run on a database without a ledger, as one psql script."""
    parts = ["BEGIN;", "SET LOCAL search_path = pg_catalog, pg_temp;"]
    for step in migrations():
        parts.append(step.text.rstrip())
        record = statement("ledger.record_migration").as_string(None)
        parts.append(record.replace("%(number)s", str(step.number)).replace("%(name)s", f"'{step.name}'") + ";")
    return "\n\n".join([*parts, "COMMIT;"]) + "\n"


def require_ledger(connection: Connection) -> None:
    """Raise LedgerMissing or LedgerDiffers unless the ledger is this version's own."""
    present = installed_version(connection)
    if present == 0:
        raise LedgerMissing(
            f"database {connection.info.dbname!r} has no ledger", hint="run `cleanup init` there first."
        )
    _refuse_newer(present)
    newest = migrations()[-1].number
    if present < newest:
        raise LedgerDiffers(
            f"the ledger has migration {present}, this version needs {newest}", hint="run `cleanup init` to upgrade it."
        )


def _refuse_newer(present: int) -> None:
    newest = migrations()[-1].number
    if present > newest:
        raise LedgerDiffers(
            f"the ledger has migration {present}, this version knows {newest}",
            hint="use the version of cleanup that installed it, or a newer one.",
        )
