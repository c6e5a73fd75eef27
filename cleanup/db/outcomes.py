"""Why findings were not changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import args_row

from cleanup.db.connection import Connection
from cleanup.db.keys import Key, read_key
from cleanup.db.queries import run_statement


@dataclass(frozen=True, slots=True)
class Left:
    """A finding that a run left as it was, and where it stands."""

    finding_number: int
    outcome: str
    detail: str | None
    leaf_name: str
    column_name: str
    key: Key

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", read_key(self.key))


def list_left(connection: Connection, run_id: int, outcomes: Sequence[str], rows: int) -> list[Left]:
    """The first findings of a run that ended in one of these outcomes."""
    with connection.cursor(row_factory=args_row(Left)) as cursor:
        return cursor.execute(
            run_statement("outcomes.list", run_id), {"run_id": run_id, "outcomes": list(outcomes), "rows": rows}
        ).fetchall()
