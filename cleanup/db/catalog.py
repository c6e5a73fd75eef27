"""What the server's catalog says; nothing is judged here."""

from dataclasses import dataclass

from psycopg.rows import args_row, scalar_row

from cleanup.db.connection import Connection
from cleanup.db.queries import statement
from cleanup.db.tables import DatabaseIdentity, Fingerprint, Leaf


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """One column of any table, with what decides whether its text can be changed safely."""

    name: str
    type_name: str
    base_name: str
    domain_base: str | None
    has_built_in_order: bool
    is_domain: bool
    not_null: bool
    generated: bool
    max_length: int | None


def database_identity(connection: Connection) -> DatabaseIdentity:
    """Which database this connection reached."""
    with connection.cursor(row_factory=args_row(DatabaseIdentity)) as cursor:
        row = cursor.execute(statement("catalog.database_identity")).fetchone()
    assert row is not None
    return row


def fingerprint(connection: Connection, leaf: Leaf, key_names: list[str]) -> Fingerprint | None:
    """Everything about a leaf that a plan relies on, or None where the leaf is gone."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        row: object = cursor.execute(statement("catalog.fingerprint"), {"oid": leaf.oid, "key": key_names}).fetchone()
    return row if isinstance(row, dict) else None


def key_collation_versions(connection: Connection, leaf: Leaf, key_names: list[str]) -> object:
    """The versions of the collations of a leaf's key by column, as its fingerprint has them; None where it has none."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        found: object = cursor.execute(
            statement("catalog.key_collation_versions"), {"oid": leaf.oid, "key": key_names}
        ).fetchone()
    return found


def publications_for_all_tables(connection: Connection) -> tuple[str, ...]:
    """The publications that would replicate any new table, the ledger included."""
    rows = connection.execute(statement("catalog.publications")).fetchall()
    return tuple(str(name) for (name,) in rows)
