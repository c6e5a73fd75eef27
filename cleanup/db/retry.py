"""When to try a transaction again: decided by SQLSTATE, for whole transactions, in this file alone."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

import psycopg
import tenacity

from cleanup.errors import (
    DatabaseBusy,
    DatabaseError,
    DatabaseFull,
    DatabaseLost,
    DatabaseUnreachable,
    PrivilegeMissing,
)
from cleanup.event_catalogue import Event
from cleanup.log import tell

_Result = TypeVar("_Result")
# Waits for so many seconds, or until somebody says that it is to be the last time: then it is true.
Pause = Callable[[float], bool]
_Failure = DatabaseBusy | DatabaseError | DatabaseFull | DatabaseLost | PrivilegeMissing


class Cause(Enum):
    """Why the same transaction may succeed when it is tried again."""

    CONFLICT = "others were first"
    TOO_LONG = "it held its locks for longer than we allow ourselves: less work at once can succeed"
    SESSION_LOST = "the session or the server is gone: another session can succeed, once there is one"
    FULL = "the server has no room: it can succeed when somebody has made some"
    INTERNAL = "a server that loses one of its nodes says so first, and only then breaks the connection"


_CAUSES: Final[Mapping[str, Cause]] = {
    "40001": Cause.CONFLICT,  # serialization_failure; also a row moved to another partition
    "40P01": Cause.CONFLICT,  # deadlock_detected
    "55P03": Cause.CONFLICT,  # lock_not_available: our lock_timeout
    "25P03": Cause.TOO_LONG,  # idle_in_transaction_session_timeout: we stalled and the server threw us out
    "25P04": Cause.TOO_LONG,  # transaction_timeout
    "57014": Cause.TOO_LONG,  # query_canceled: our statement_timeout, or somebody's pg_cancel_backend
    "57P01": Cause.SESSION_LOST,  # admin_shutdown; also pg_terminate_backend
    "57P02": Cause.SESSION_LOST,  # crash_shutdown
    "57P03": Cause.SESSION_LOST,  # cannot_connect_now: it starts, or ends
    "57P05": Cause.SESSION_LOST,  # idle_session_timeout
    "53300": Cause.SESSION_LOST,  # too_many_connections
    "53100": Cause.FULL,  # disk_full
    "XX000": Cause.INTERNAL,  # internal_error
}
_CONNECTION_EXCEPTION: Final = "08"


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long at least a cause is met with another attempt, and the waits between, in seconds.

    Each wait is drawn at random below a limit that doubles, so that lanes do not come back all at once.
    """

    attempts: int
    seconds: float = 0.0
    first_wait: float = 0.05
    longest_wait: float = 3.0
    shortest_wait: float = 0.0


PATIENCE: Final[dict[Cause, Patience]] = {
    Cause.CONFLICT: Patience(attempts=10),
    Cause.TOO_LONG: Patience(attempts=10),
    # Long enough for a server to start anew, or for a standby to take over.
    Cause.SESSION_LOST: Patience(attempts=10, seconds=30.0),
    # A pause and no loop: each attempt would write WAL and dead rows where there is no room for either.
    Cause.FULL: Patience(attempts=3, seconds=30.0, first_wait=2.0, longest_wait=10.0, shortest_wait=1.0),
    Cause.INTERNAL: Patience(attempts=3, first_wait=0.2),
}

_PRIVILEGE: Final = "42501"
# Where PL/pgSQL's RAISE reports from: a trigger says no, whatever SQLSTATE it chose for that.
_RAISED: Final = "exec_stmt_raise"

# Errors of the server or of our statement, not of a row: writing row by row would not help.
_NOT_A_ROW: Final = ("08", "0A", "25", "26", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "F0", "XX")

# Also true of an error that came after COMMIT was sent, when nobody can tell yet whether it took effect.
_GOES_ON: Final = "run the same command again: it goes on from what the ledger says was committed."


def cause_of(error: BaseException) -> Cause | None:
    """Why the same transaction may succeed when it is tried again; None where it can not."""
    if isinstance(error, DatabaseUnreachable):
        return Cause.SESSION_LOST
    if not isinstance(error, psycopg.Error):
        return None
    if error.sqlstate is None:
        # The connection broke under the statement.
        return Cause.SESSION_LOST if isinstance(error, psycopg.OperationalError) else None
    if error.sqlstate.startswith(_CONNECTION_EXCEPTION):
        return Cause.SESSION_LOST
    return _CAUSES.get(error.sqlstate)


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction may succeed when it is tried again."""
    return cause_of(error) is not None


def is_too_long(error: BaseException) -> bool:
    """Whether the server ended the transaction for taking too long."""
    return cause_of(error) is Cause.TOO_LONG


def is_refusal(error: psycopg.Error) -> bool:
    """Whether the database refuses what is being written: a constraint, a length, a trigger's own error."""
    if error.sqlstate is None:
        return False
    if error.diag.source_function == _RAISED:
        # A trigger may pass on what is no fault of the row's.
        return cause_of(error) in (None, Cause.INTERNAL, Cause.FULL)
    return cause_of(error) is None and error.sqlstate[:2] not in _NOT_A_ROW


def retry_transaction(
    work: Callable[[], _Result], on_failure: Callable[[Cause], None] | None = None, pause: Pause | None = None
) -> _Result:
    """Run a whole transaction, again where that can help; raise an error of our tree where it can not.

    `work` must be safe to run again after a commit whose answer was lost: it finds what it did before.
    `on_failure` hears of the cause of each attempt that got as far as a connection and is followed by another one.
    Where `pause` is told to stop, one more attempt is the last.
    """
    is_told_to_stop = False

    def sleep(seconds: float) -> None:
        nonlocal is_told_to_stop
        if pause is None:
            time.sleep(seconds)
        else:
            is_told_to_stop = pause(seconds)

    def before_sleep(attempt: tenacity.RetryCallState) -> None:
        _log_retry(attempt)
        if on_failure is not None and not isinstance(_error_of(attempt), DatabaseUnreachable):
            on_failure(_cause_met(attempt))

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_transient),
        stop=lambda attempt: is_told_to_stop or _gives_up(attempt),
        sleep=sleep,
        wait=_next_wait,
        before_sleep=before_sleep,
        reraise=True,
    )
    try:
        return retrying(work)
    except DatabaseUnreachable as error:
        raise DatabaseLost(_gave_up(retrying, error.message), hint=_when_well()) from None
    except psycopg.Error as error:
        raise _translate(retrying, error) from None


def _error_of(attempt: tenacity.RetryCallState) -> BaseException | None:
    return attempt.outcome.exception() if attempt.outcome is not None else None


def _cause_met(attempt: tenacity.RetryCallState) -> Cause:
    error = _error_of(attempt)
    cause = cause_of(error) if error is not None else None
    assert cause is not None
    return cause


def _patience(attempt: tenacity.RetryCallState) -> Patience:
    return PATIENCE[_cause_met(attempt)]


def _gives_up(attempt: tenacity.RetryCallState) -> bool:
    patience = _patience(attempt)
    elapsed = attempt.seconds_since_start or 0.0
    return attempt.attempt_number >= patience.attempts and elapsed >= patience.seconds


def _next_wait(attempt: tenacity.RetryCallState) -> float:
    patience = _patience(attempt)
    return tenacity.wait_random_exponential(
        multiplier=patience.first_wait, max=patience.longest_wait, min=patience.shortest_wait
    )(attempt)


def _log_retry(attempt: tenacity.RetryCallState) -> None:
    error = _error_of(attempt)
    tell(
        Event.TRANSACTION_RETRIED,
        attempt=attempt.attempt_number,
        sqlstate=error.sqlstate if isinstance(error, psycopg.Error) else None,
        error=type(error).__name__,
        cause=_cause_met(attempt).name.lower(),
        wait_ms=round(attempt.upcoming_sleep * 1000),
    )


def _translate(retrying: tenacity.Retrying, error: psycopg.Error) -> _Failure:
    """The error of our tree for an error of the database; never with a value of a post in it."""
    state = error.sqlstate
    said = f"{_message_of(error)} (SQLSTATE {state or 'none: the connection broke'})"
    if state == _PRIVILEGE:
        return PrivilegeMissing(said, hint="grant it to the role, or connect as another one; see sql/roles.sql.")
    match cause_of(error):
        case Cause.CONFLICT | Cause.TOO_LONG:
            hint = f"see in pg_stat_activity who holds it, or wait; then {_GOES_ON}"
            return DatabaseBusy(_gave_up(retrying, said), hint=hint)
        case Cause.SESSION_LOST:
            return DatabaseLost(_gave_up(retrying, said), hint=_when_well())
        case Cause.FULL:
            hint = f"make room where the data and the WAL lie; then {_GOES_ON}"
            return DatabaseFull(_gave_up(retrying, said), hint=hint)
        case Cause.INTERNAL | None:
            return DatabaseError(said, hint=f"mend the cause, then {_GOES_ON}")


def _gave_up(retrying: tenacity.Retrying, message: str) -> str:
    attempts = retrying.statistics.get("attempt_number", 1)
    return f"gave up after {attempts} attempts: {message}"


def _when_well() -> str:
    return f"nothing is lost: when the database is well again, {_GOES_ON}"


def _message_of(error: psycopg.Error) -> str:
    # DETAIL and CONTEXT may quote rows, and so may the message of a data error or of somebody's trigger.
    if (error.sqlstate or "").startswith("22") or error.diag.source_function == _RAISED:
        return "the database refused a value"
    return error.diag.message_primary or str(error).strip().split("\n")[0]
