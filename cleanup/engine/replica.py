"""Scanning a standby: one of the very database, and not before it has all that the plan has to see."""

from typing import Final

from cleanup.db.catalog import database_identity
from cleanup.db.connection import Connection, describe_dsn
from cleanup.db.database import Database
from cleanup.db.plans import Plan
from cleanup.db.session import has_replayed
from cleanup.errors import PlanForeign, ServerUnsuitable

APPLICATION_NAME: Final = "cleanup plan replica"
_HINT: Final = "give --scan-dsn a standby of the primary that --dsn names, or leave it out."


def require_replica(dsn: str, plan: Plan) -> None:
    """Raise PlanForeign or ServerUnsuitable where the address leads to no standby of the plan's database."""
    database = Database(dsn, APPLICATION_NAME)
    try:
        identity = database.transact(database_identity, read_only=True)
        planned = plan.database_identity
        if (identity.system_identifier, identity.database_oid) != (planned.system_identifier, planned.database_oid):
            raise PlanForeign(f"{describe_dsn(dsn)} is another database than plan {plan.plan_id}'s", hint=_HINT)
        database.transact(lambda connection: is_ready(connection, dsn, plan.first_lsn), read_only=True)
    finally:
        database.close()


def is_ready(connection: Connection, dsn: str, lsn: str) -> bool:
    """Whether the standby has replayed the primary's WAL up to there; raise ServerUnsuitable where it is none.

    One that was promoted goes its own way, and nothing says how far it had come.
    """
    replayed = has_replayed(connection, lsn)
    if replayed is None:
        raise ServerUnsuitable(f"{describe_dsn(dsn)} is no standby", hint=_HINT)
    return replayed
