"""How many rows a run would change, and how many bytes are free by the operator's own query."""

from psycopg.types.json import Jsonb

from cleanup.db.connection import Connection
from cleanup.db.queries import literal_sql, statement


def newest_plan(connection: Connection, policy_digest: bytes, settings: dict[str, object]) -> int | None:
    """The newest finished plan of this policy and config; raises where there is no ledger."""
    parameters = {"policy_digest": policy_digest, "settings": Jsonb(settings)}
    row = connection.execute(statement("check_space.newest_plan"), parameters).fetchone()
    return int(row[0]) if row and row[0] is not None else None


def planned_changes(connection: Connection, plan_id: int) -> dict[str, int]:
    """By table, how many values a run of the plan would write."""
    rows = connection.execute(statement("check_space.planned"), {"plan_id": plan_id}).fetchall()
    return {str(table): int(findings) for table, findings in rows}


def free_bytes_by_query(connection: Connection, query: str) -> int | None:
    """What the operator's query answers with; None where that is not one number."""
    rows = connection.execute(literal_sql(query)).fetchall()
    if len(rows) != 1 or len(rows[0]) != 1:
        return None
    try:
        return int(rows[0][0])
    except (TypeError, ValueError):
        return None
