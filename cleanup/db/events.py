"""Events in the ledger: what happened to plans and runs, and who did it."""

from psycopg.types.json import Jsonb

from cleanup.db.connection import Connection
from cleanup.db.queries import statement


def add_event(
    connection: Connection, name: str, *, plan_id: int | None = None, run_id: int | None = None, **detail: int | str
) -> None:
    """Record an event in the open transaction."""
    connection.execute(
        statement("events.add"), {"plan_id": plan_id, "run_id": run_id, "name": name, "detail": Jsonb(detail)}
    )
