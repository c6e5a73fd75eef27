"""When to try a transaction again: decided by SQLSTATE, for whole transactions, in this file alone."""

from collections.abc import Callable
from typing import Final, TypeVar

import psycopg
import tenacity

from cleanup.errors import DatabaseError, DatabaseLost, DatabaseUnreachable, PrivilegeMissing
from cleanup.log import get_logger

_Result = TypeVar("_Result")

# Somebody else was first or the server was busy: the same transaction can succeed a moment later.
_TRANSIENT: Final = frozenset(
    {
        "40001",  # serialization_failure; also a row moved to another partition
        "40P01",  # deadlock_detected
        "55P03",  # lock_not_available
        "53300",  # too_many_connections
    }
)
# The session is gone or going: open another one, then the same transaction.
_SESSION_LOST: Final = frozenset(
    {
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now
        "25P03",  # idle_in_transaction_session_timeout: we stalled and the server threw us out
        "25P04",  # transaction_timeout
        "57014",  # query_canceled: our own statement_timeout
    }
)
# We held locks for longer than we allow ourselves: less work at once can succeed.
_TOO_LONG: Final = frozenset({"25P03", "25P04", "57014"})
_PRIVILEGE: Final = "42501"
# Where PL/pgSQL's RAISE reports from: a trigger says no, whatever SQLSTATE it chose for that.
_RAISED: Final = "exec_stmt_raise"

# Errors of the server or of our statement, not of a row: writing row by row would not help.
_NOT_A_ROW: Final = ("08", "0A", "25", "26", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "F0", "XX")

ATTEMPTS: Final = 10
FIRST_WAIT_SECONDS: Final = 0.05
LONGEST_WAIT_SECONDS: Final = 3.0


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction may succeed when it is tried again."""
    if isinstance(error, DatabaseUnreachable):
        return True
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if state is None:
        # No SQLSTATE: the connection broke under the statement.
        return isinstance(error, psycopg.OperationalError)
    return state in _TRANSIENT or state in _SESSION_LOST or state.startswith("08")


def is_too_long(error: BaseException) -> bool:
    """Whether the server ended the transaction for taking too long."""
    return isinstance(error, psycopg.Error) and error.sqlstate in _TOO_LONG


def is_refusal(error: psycopg.Error) -> bool:
    """Whether the database refuses what is being written: a constraint, a length, a trigger's own error."""
    if error.sqlstate is None or is_transient(error):
        return False
    return error.diag.source_function == _RAISED or error.sqlstate[:2] not in _NOT_A_ROW


def retry_transaction(work: Callable[[], _Result], on_failure: Callable[[], None] | None = None) -> _Result:
    """Run a whole transaction, again where that can help; raise DatabaseLost or DatabaseError where it can not.

    `work` must be safe to run again after a commit whose answer was lost: it finds what it did before.
    """

    def before_sleep(attempt: tenacity.RetryCallState) -> None:
        _log_retry(attempt)
        if on_failure is not None:
            on_failure()

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_transient),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
        before_sleep=before_sleep,
        reraise=True,
    )
    try:
        return retrying(work)
    except psycopg.Error as error:
        raise translate(error) from None


def translate(error: psycopg.Error) -> DatabaseLost | DatabaseError | PrivilegeMissing:
    """The error of our tree for an error of the database; never with a value of a post in it."""
    state = error.sqlstate
    message = _message_of(error)
    if state == _PRIVILEGE:
        return PrivilegeMissing(
            f"{message} (SQLSTATE {state})", hint="grant it to the role, or connect as another one; see sql/roles.sql."
        )
    if is_transient(error):
        return DatabaseLost(
            f"gave up after {ATTEMPTS} attempts: {message} (SQLSTATE {state or 'none: the connection broke'})",
            hint="nothing is lost: when the database is well again, run the same command to go on.",
        )
    return DatabaseError(
        f"{message} (SQLSTATE {state})",
        hint="nothing of that transaction was written; mend the cause and run the same command again.",
    )


def _message_of(error: psycopg.Error) -> str:
    # DETAIL and CONTEXT may quote rows, and so may the message of a data error or of somebody's trigger.
    if (error.sqlstate or "").startswith("22") or error.diag.source_function == _RAISED:
        return "the database refused a value"
    return error.diag.message_primary or str(error).strip().split("\n")[0]


def _log_retry(attempt: tenacity.RetryCallState) -> None:
    outcome = attempt.outcome
    error = outcome.exception() if outcome is not None else None
    get_logger().warning(
        "transaction.retried",
        attempt=attempt.attempt_number,
        sqlstate=error.sqlstate if isinstance(error, psycopg.Error) else None,
        cause=type(error).__name__,
    )
