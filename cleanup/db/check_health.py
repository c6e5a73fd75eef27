"""The health of the configured tables: room, dead rows, locks, old transactions, collations."""

from dataclasses import dataclass

from psycopg.rows import args_row

from cleanup.db.checks import Posts
from cleanup.db.connection import Connection
from cleanup.db.queries import statement


@dataclass(frozen=True, slots=True)
class LeafHealth:
    """One leaf as the statistics have it."""

    name: str
    rows: int
    pages: int
    fillfactor: int
    autovacuum_enabled: bool
    live_rows: int
    dead_rows: int
    xid_age: int
    freeze_max_age: int


@dataclass(frozen=True, slots=True)
class TableLock:
    """A lock of another session that DDL or maintenance takes; `pid` 0 is a prepared transaction's."""

    table: str
    is_partitioned: bool
    mode: str
    granted: bool
    pid: int
    held_by: str


@dataclass(frozen=True, slots=True)
class OldTransaction:
    """What keeps dead rows from being cleared away, and for how long it has."""

    what: str
    seconds: int


@dataclass(frozen=True, slots=True)
class OldXmin:
    """A slot or a standby that keeps dead rows, and how many transactions back it reaches."""

    what: str
    transactions: int


@dataclass(frozen=True, slots=True)
class CollationVersions:
    """A collation's version as it was recorded, and what the library says now."""

    name: str
    recorded: str
    actual: str | None


def leaf_health(connection: Connection, posts: Posts) -> list[LeafHealth]:
    """Every leaf's statistics."""
    with connection.cursor(row_factory=args_row(LeafHealth)) as cursor:
        return cursor.execute(statement("check_health.leaves"), {"leaves": posts.leaves}).fetchall()


def autovacuum_runs(connection: Connection) -> bool:
    """Whether the server vacuums by itself at all."""
    row = connection.execute(statement("check_health.autovacuum")).fetchone()
    assert row is not None
    return bool(row[0])


def detaching_partitions(connection: Connection, posts: Posts) -> list[str]:
    """Partitions whose DETACH CONCURRENTLY was begun and not finished."""
    rows = connection.execute(statement("check_health.detaching"), {"relations": list(posts.relations)}).fetchall()
    return [str(name) for (name,) in rows]


def table_locks(connection: Connection, posts: Posts) -> list[TableLock]:
    """Strong locks that others hold or wait for."""
    with connection.cursor(row_factory=args_row(TableLock)) as cursor:
        return cursor.execute(statement("check_health.locks"), {"relations": list(posts.relations)}).fetchall()


def old_transactions(connection: Connection, seconds: int) -> list[OldTransaction]:
    """Transactions of this database that have been open for so long; the oldest first."""
    with connection.cursor(row_factory=args_row(OldTransaction)) as cursor:
        return cursor.execute(statement("check_health.old_transactions"), {"seconds": seconds}).fetchall()


def old_xmins(connection: Connection, transactions: int) -> list[OldXmin]:
    """Slots and standbys that reach so many transactions back; the oldest first."""
    with connection.cursor(row_factory=args_row(OldXmin)) as cursor:
        return cursor.execute(statement("check_health.old_xmins"), {"transactions": transactions}).fetchall()


def sees_all_sessions(connection: Connection) -> bool:
    """Whether the role may see what other roles' sessions do."""
    row = connection.execute(statement("check_health.sees_all")).fetchone()
    assert row is not None
    return bool(row[0])


def changed_collations(connection: Connection, posts: Posts) -> list[CollationVersions]:
    """Collations under the tables' indexes whose library is not the recorded one."""
    with connection.cursor(row_factory=args_row(CollationVersions)) as cursor:
        return cursor.execute(statement("check_health.collations"), {"relations": list(posts.relations)}).fetchall()
