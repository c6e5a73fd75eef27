"""Events in the ledger: what happened to plans and runs, and who did it."""

from psycopg.types.json import Jsonb

from cleanup.db.connection import Connection
from cleanup.db.queries import run_statement, statement
from cleanup.event_catalogue import Event


def add_event(
    connection: Connection, event: Event, *, plan_id: int | None = None, run_id: int | None = None, **detail: int | str
) -> None:
    """Record an event in the open transaction."""
    connection.execute(
        statement("events.add") if run_id is None else run_statement("events.add", run_id),
        {"plan_id": plan_id, "run_id": run_id, "name": event.value.name, "detail": Jsonb(detail)},
    )
