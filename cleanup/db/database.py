"""One process's way to the database: a connection that is opened again when it is lost."""

from collections.abc import Callable
from typing import TypeVar

import psycopg

from cleanup.db.connection import Connection, Limits, open_connection, transaction
from cleanup.db.retry import retry_transaction

_Result = TypeVar("_Result")


class Database:
    """Runs whole transactions, each tried again where its SQLSTATE says that this can help.

    A first connection that fails is told at once, since the address or the password may be wrong; where
    another process has connected already, `patient` goes on trying for the first one too.
    """

    def __init__(self, dsn: str, application_name: str, *, patient: bool = False) -> None:
        self._dsn = dsn
        self._patient = patient
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

        def attempt() -> _Result:
            connection = self.connection()
            with transaction(connection, limits, read_only=read_only, one_snapshot=one_snapshot):
                return work(connection)

        self._connect_first()
        return retry_transaction(attempt)

    def retry(self, attempt: Callable[[Connection], _Result], on_failure: Callable[[], None] | None = None) -> _Result:
        """Run work that opens its transactions itself, with the same retries; `on_failure` hears of each."""
        self._connect_first()
        return retry_transaction(lambda: attempt(self.connection()), on_failure)

    def _connect_first(self) -> None:
        if not self._patient:
            self.connection()
            self._patient = True

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
