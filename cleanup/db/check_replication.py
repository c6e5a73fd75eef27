"""Who receives the changes: publications, slots, standbys; and who writes into the posts from elsewhere."""

from dataclasses import dataclass

from psycopg.rows import args_row

from cleanup.db.checks import Posts
from cleanup.db.connection import Connection
from cleanup.db.queries import statement


@dataclass(frozen=True, slots=True)
class LedgerPublication:
    """A publication that carries the ledger."""

    name: str
    is_for_all_tables: bool


@dataclass(frozen=True, slots=True)
class ReplicaIdentity:
    """How subscribers find a published leaf's rows: the catalog's letter, and whether there is what it names."""

    leaf: str
    letter: str
    is_there: bool


@dataclass(frozen=True, slots=True)
class Slot:
    """One replication slot, and how much WAL it keeps."""

    name: str
    kind: str
    is_active: bool
    wal_status: str
    retained_bytes: int


@dataclass(frozen=True, slots=True)
class Standby:
    """One stream of WAL; `state` is None where the role may not see it."""

    name: str
    state: str | None
    sync_state: str | None
    lag_bytes: int


def publications_of_ledger(connection: Connection) -> list[LedgerPublication]:
    """Publications that carry the ledger, or would."""
    with connection.cursor(row_factory=args_row(LedgerPublication)) as cursor:
        return cursor.execute(statement("check_replication.of_ledger")).fetchall()


def publications_of_posts(connection: Connection, posts: Posts) -> list[str]:
    """Publications that carry changed posts."""
    parameters = {"relations": list(posts.relations), "columns": posts.written}
    return [str(name) for (name,) in connection.execute(statement("check_replication.of_posts"), parameters).fetchall()]


def replica_identities(connection: Connection, posts: Posts) -> list[ReplicaIdentity]:
    """The replica identity of every leaf that is published."""
    with connection.cursor(row_factory=args_row(ReplicaIdentity)) as cursor:
        return cursor.execute(statement("check_replication.identities"), {"leaves": posts.leaves}).fetchall()


def slots(connection: Connection) -> list[Slot]:
    """Every lasting slot of the server."""
    with connection.cursor(row_factory=args_row(Slot)) as cursor:
        return cursor.execute(statement("check_replication.slots")).fetchall()


def standbys(connection: Connection) -> list[Standby]:
    """Every stream of WAL."""
    with connection.cursor(row_factory=args_row(Standby)) as cursor:
        return cursor.execute(statement("check_replication.standbys")).fetchall()


def subscriptions_into(connection: Connection, posts: Posts) -> list[str]:
    """Subscriptions that write into a table."""
    rows = connection.execute(
        statement("check_replication.subscriptions"), {"relations": list(posts.relations)}
    ).fetchall()
    return [str(name) for (name,) in rows]
