"""Whether this server, and the ledger in it, can be written to."""

from typing import Final

from cleanup.db.connection import Connection
from cleanup.db.queries import statement

# What a run adds to: the operator needs no more of the ledger's tables than this, and to read them.
_WRITTEN_BY_A_RUN: Final = ("run", "run_chunk", "batch", "outcome", "deferral", "change_log", "event", "wal_mark")


def tables_not_writable(connection: Connection) -> list[str]:
    """The ledger's tables that a run adds to and this role may not."""
    rows = connection.execute(statement("check_ledger.lacking"), {"tables": list(_WRITTEN_BY_A_RUN)}).fetchall()
    return [str(name) for (name,) in rows]


def is_standby(connection: Connection) -> bool:
    """Whether the server follows another one."""
    row = connection.execute(statement("check_ledger.in_recovery")).fetchone()
    assert row is not None
    return bool(row[0])
