"""Opening connections, and transactions whose settings are all local."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from cleanup.db.queries import comment, statement
from cleanup.errors import DatabaseUnreachable, ServerUnsuitable, UsageInvalid

Connection = psycopg.Connection[TupleRow]

# Seconds, but for the last, which is in milliseconds. A host that vanished without a word would be waited for by the
# kernel for a quarter of an hour, and by a connection that only listens for ever.
_NETWORK_PATIENCE: Final = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 40_000,
}

OLDEST_SERVER: Final = 150000
TRANSACTION_TIMEOUT_SINCE: Final = 170000


@dataclass(frozen=True, slots=True)
class Limits:
    """What one transaction may take, in milliseconds; zero is no limit."""

    lock_timeout_ms: int = 5_000
    statement_timeout_ms: int = 0
    # Far less than what others wait, in all their attempts, for a lock of a process that stands still.
    idle_timeout_ms: int = 10_000
    transaction_timeout_ms: int = 0


# A scan reads a whole chunk in one statement and waits for our own matching in between.
SCAN_LIMITS: Final = Limits(idle_timeout_ms=0)


def open_connection(dsn: str, application_name: str) -> Connection:
    """Connect by libpq's own means; raise what is wrong, with no password in it.

    DatabaseUnreachable where nothing answers, UsageInvalid where no try can help, ServerUnsuitable.
    """
    try:
        # No prepared statements: a transaction-pooling proxy may hand each transaction to another session.
        # UTF-8 whatever PGCLIENTENCODING says: COPY sends raw bytes, and the hashes are over UTF-8.
        connection = psycopg.connect(
            _with_network_patience(dsn),
            autocommit=True,
            prepare_threshold=None,
            fallback_application_name=application_name,
            client_encoding="UTF8",
        )
    except psycopg.OperationalError as error:
        if _hides_where_the_password_ends(dsn):
            raise UsageInvalid(
                "no connection, and the connection string is ambiguous: it has an @ too many, or a / before it",
                hint="write @ as %40 and / as %2F within a user name or password of a postgresql:// address.",
            ) from None
        raise DatabaseUnreachable(
            f"no connection to {describe_dsn(dsn)}: {_first_line(error)}",
            hint="check --dsn, the PG* variables or the service file, and that the server is up.",
        ) from None
    except psycopg.ProgrammingError:
        # libpq quotes the part that it can not read, and that may be the password.
        raise UsageInvalid(
            "the connection string can not be read",
            hint="give --dsn as postgresql://... or as key=value pairs; quote values that hold blanks.",
        ) from None
    _require_suitable(connection)
    return connection


def _with_network_patience(dsn: str) -> str:
    """The connection string with how long a host may be silent, where the operator has not said so."""
    said = set(psycopg.conninfo.conninfo_to_dict(dsn))
    if "service" in said or "PGSERVICE" in os.environ:
        # The service file may have them, and what is given here would win.
        return dsn
    if "PGCONNECT_TIMEOUT" in os.environ:
        said.add("connect_timeout")
    missing = {name: value for name, value in _NETWORK_PATIENCE.items() if name not in said}
    return psycopg.conninfo.make_conninfo(dsn, **missing)


def describe_dsn(dsn: str) -> str:
    """Where a connection string leads, without any secret."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return "the given connection string"
    shown = [f"{key}={parts[key]}" for key in ("service", "host", "port", "dbname", "user") if parts.get(key)]
    return " ".join(shown) or "the server of the PG* variables"


def _hides_where_the_password_ends(dsn: str) -> bool:
    # Then libpq takes part of the password for host or port, and quotes it in its message.
    scheme, _, rest = dsn.partition("://")
    before_at, at, _ = rest.partition("?")[0].rpartition("@")
    return scheme in ("postgresql", "postgres") and bool(at) and ("@" in before_at or "/" in before_at)


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().split("\n")[0]


def _require_suitable(connection: Connection) -> None:
    version = connection.info.server_version
    encoding = connection.info.parameter_status("server_encoding")
    if version < OLDEST_SERVER:
        connection.close()
        raise ServerUnsuitable(f"the server has version {version // 10000}", hint="PostgreSQL 15 or newer is needed.")
    if encoding != "UTF8":
        connection.close()
        raise ServerUnsuitable(
            f"the database's encoding is {encoding}",
            hint="offsets and hashes are over UTF-8: only databases with server encoding UTF8 are supported.",
        )


def local_settings(connection: Connection, limits: Limits) -> Mapping[str, str]:
    """The settings every transaction of ours has; sent with SET LOCAL semantics only."""
    settings = {
        "lock_timeout": f"{limits.lock_timeout_ms}ms",
        "statement_timeout": f"{limits.statement_timeout_ms}ms",
        "idle_in_transaction_session_timeout": f"{limits.idle_timeout_ms}ms",
        "TimeZone": "UTC",
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "postgres",
        "extra_float_digits": "1",
        "bytea_output": "hex",
        # An operator's predicate is judged as standard SQL, so it has to be read as such.
        "standard_conforming_strings": "on",
        "transform_null_equals": "off",
        # pg_temp last, so that nobody's temporary table can stand in for a real one.
        "search_path": "pg_catalog, pg_temp",
        # Errors where row-level security would hide rows, instead of leaving them out.
        "row_security": "off",
    }
    if connection.info.server_version >= TRANSACTION_TIMEOUT_SINCE and limits.transaction_timeout_ms:
        settings["transaction_timeout"] = f"{limits.transaction_timeout_ms}ms"
    return settings


@contextmanager
def transaction(
    connection: Connection, limits: Limits | None = None, *, read_only: bool = False, one_snapshot: bool = False
) -> Iterator[Connection]:
    """One transaction with local settings; commits at the end, rolls back on an exception."""
    with connection.transaction():
        begin(connection, limits or Limits(), read_only=read_only, one_snapshot=one_snapshot)
        yield connection


def begin(connection: Connection, limits: Limits, *, read_only: bool = False, one_snapshot: bool = False) -> None:
    """Give the open transaction its isolation, its access mode and its local settings."""
    isolation = sql.SQL("REPEATABLE READ") if one_snapshot else sql.SQL("READ COMMITTED")
    access = sql.SQL("READ ONLY") if read_only else sql.SQL("READ WRITE")
    connection.execute(
        sql.SQL("{}SET TRANSACTION ISOLATION LEVEL {}, {}").format(comment("connection.begin"), isolation, access)
    )
    settings = local_settings(connection, limits)
    connection.execute(
        statement("session.set_local"), {"names": list(settings.keys()), "settings": list(settings.values())}
    )
