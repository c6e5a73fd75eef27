"""One process's way to the database: a connection that is opened again when it is lost."""

from collections.abc import Callable
from typing import Final, TypeVar

import psycopg

from cleanup.db.connection import Connection, Limits, describe_dsn, open_connection, transaction
from cleanup.db.retry import Cause, Pause, is_transient, retry_transaction
from cleanup.db.session import is_standby
from cleanup.errors import DatabaseUnreachable, ServerUnsuitable

_Result = TypeVar("_Result")

# What a standby says to a transaction that is to write: at its begin, and at its first statement that writes.
_REFUSED_BY_A_STANDBY: Final = ("0A000", "25006")


class Database:
    """Runs whole transactions, each tried again where its SQLSTATE says that this can help.

    A first connection that fails is told at once, since the address or the password may be wrong; where
    another process has connected already, `patient` goes on trying for the first one too. `pause` is how the
    time between two attempts is spent; where it is told to stop, they end.
    """

    def __init__(self, dsn: str, application_name: str, *, patient: bool = False, pause: Pause | None = None) -> None:
        self._dsn = dsn
        self._patient = patient
        self._pause = pause
        self._application_name = application_name
        self._connection: Connection | None = None

    def transact(
        self,
        work: Callable[[Connection], _Result],
        limits: Limits | None = None,
        *,
        read_only: bool = False,
        one_snapshot: bool = False,
    ) -> _Result:
        """Run `work` in one transaction and commit it; the work finds what an earlier attempt did."""

        def attempt(connection: Connection) -> _Result:
            with transaction(connection, limits, read_only=read_only, one_snapshot=one_snapshot):
                return work(connection)

        return self.retry(attempt)

    def retry(
        self, attempt: Callable[[Connection], _Result], on_failure: Callable[[Cause], None] | None = None
    ) -> _Result:
        """Run work that opens its transactions itself, with the same retries; `on_failure` hears of each."""
        if not self._patient:
            self.connection()
        return retry_transaction(lambda: self._try(attempt), on_failure, self._pause)

    def glance(self, work: Callable[[Connection], object]) -> None:
        """Run `work` in one read-only transaction; where the database can not be asked just now, leave it out."""
        try:
            with transaction(self.connection(), read_only=True) as connection:
                work(connection)
        except (psycopg.Error, DatabaseUnreachable) as error:
            if not is_transient(error):
                # No fault of the moment: then it is said.
                self.transact(work, read_only=True)

    def _try(self, attempt: Callable[[Connection], _Result]) -> _Result:
        connection = self.connection()
        try:
            result = attempt(connection)
        except psycopg.Error as error:
            if error.sqlstate in _REFUSED_BY_A_STANDBY:
                self._require_primary(connection)
            raise
        self._patient = True
        return result

    def _require_primary(self, connection: Connection) -> None:
        """Raise where the connection leads to a standby: after a failover another one leads to the new primary."""
        idle = connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        if not idle or not is_standby(connection):
            return
        connection.close()
        what = f"{describe_dsn(self._dsn)} leads to a standby, which can not be written"
        hint = "name the primary; with several hosts, add target_session_attrs=read-write."
        raise DatabaseUnreachable(what, hint=hint) if self._patient else ServerUnsuitable(what, hint=hint)

    def connection(self) -> Connection:
        """The open connection, or a new one where it was lost or left in an unknown state."""
        current = self._connection
        if current is not None and not current.closed and not current.broken:
            if current.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                return current
            current.close()
        self._connection = open_connection(self._dsn, self._application_name)
        return self._connection

    def close(self) -> None:
        """Close the connection, if one is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
