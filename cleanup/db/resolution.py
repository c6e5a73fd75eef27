"""The resolution map: a table of the operator's that says where short URLs lead."""

from collections.abc import Sequence

from psycopg import sql

from cleanup.config import Resolution
from cleanup.db.connection import Connection
from cleanup.db.queries import statement


def look_up(connection: Connection, resolution: Resolution, urls: Sequence[str]) -> dict[str, str]:
    """The targets of those URLs that the map has; of several rows for one URL the last in text order."""
    schema, _, name = resolution.table.partition(".")
    query = statement(
        "resolution.look_up",
        table=sql.Identifier(schema, name),
        short=sql.Identifier("m", resolution.short),
        target=sql.Identifier("m", resolution.target),
    )
    rows = connection.execute(query, {"urls": list(urls)}).fetchall()
    return {str(short): str(target) for short, target in rows}
