"""Which errors are met with another attempt, how often and how long, and what is said of each and at the end."""

import contextlib
import time
from collections.abc import Iterator, MutableMapping

import psycopg
import pytest
import structlog.testing
from psycopg import errors

from cleanup.db import retry
from cleanup.db.retry import PATIENCE, Cause, Patience, cause_of, is_refusal, retry_transaction
from cleanup.errors import (
    CleanupError,
    DatabaseBusy,
    DatabaseError,
    DatabaseFull,
    DatabaseLost,
    DatabaseUnreachable,
    PrivilegeMissing,
)

QUICK = Patience(attempts=3, first_wait=0.0, longest_wait=0.001)
BROKEN = psycopg.OperationalError("server closed the connection unexpectedly")


def of_class(sqlstate: str) -> psycopg.Error:
    return errors.lookup(sqlstate)("what the server said")


class Failing:
    """Work that fails in so many ways, one after the other, and then succeeds."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.attempts = 0

    def __call__(self) -> str:
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


@pytest.fixture(autouse=True)
def events() -> Iterator[list[MutableMapping[str, object]]]:
    """What is logged meanwhile."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for cause in Cause:
        monkeypatch.setitem(PATIENCE, cause, QUICK)


@pytest.mark.parametrize(
    ("sqlstate", "cause"),
    [
        ("40001", Cause.CONFLICT),
        ("40P01", Cause.CONFLICT),
        ("55P03", Cause.CONFLICT),
        ("25P03", Cause.TOO_LONG),
        ("57014", Cause.TOO_LONG),
        ("57P01", Cause.SESSION_LOST),
        ("57P02", Cause.SESSION_LOST),
        ("57P03", Cause.SESSION_LOST),
        ("57P05", Cause.SESSION_LOST),
        ("53300", Cause.SESSION_LOST),
        ("08006", Cause.SESSION_LOST),
        ("08P01", Cause.SESSION_LOST),
        ("53100", Cause.FULL),
        ("XX000", Cause.INTERNAL),
        ("23505", None),
        ("42501", None),
        ("42P01", None),
        ("57P04", None),
        ("XX001", None),
    ],
)
def test_the_sqlstate_decides(sqlstate: str, cause: Cause | None) -> None:
    assert cause_of(of_class(sqlstate)) is cause


def test_a_broken_connection_has_no_sqlstate() -> None:
    assert BROKEN.sqlstate is None
    assert cause_of(BROKEN) is Cause.SESSION_LOST
    assert cause_of(DatabaseUnreachable("no answer", hint="")) is Cause.SESSION_LOST
    assert cause_of(psycopg.InterfaceError("the cursor is closed")) is None
    assert cause_of(ValueError()) is None


def test_a_constraint_refuses_a_row_and_a_lock_does_not() -> None:
    assert is_refusal(of_class("23514"))
    assert not is_refusal(of_class("55P03"))
    assert not is_refusal(of_class("53100"))
    assert not is_refusal(of_class("XX000"))
    assert not is_refusal(of_class("42501"))


@pytest.mark.usefixtures("quick")
def test_the_whole_of_it_runs_again_until_it_succeeds() -> None:
    work = Failing(of_class("40P01"), BROKEN)
    assert retry_transaction(work) == "done"
    assert work.attempts == 3


@pytest.mark.usefixtures("quick")
def test_each_attempt_is_logged_with_its_cause(events: list[MutableMapping[str, object]]) -> None:
    heard: list[str] = []
    work = Failing(of_class("40P01"), DatabaseUnreachable("no answer", hint=""))
    retry_transaction(work, lambda cause: heard.append(cause.name))
    first, second = events
    assert (first["event"], first["sqlstate"], first["error"]) == ("transaction.retried", "40P01", "DeadlockDetected")
    assert (first["attempt"], first["cause"], first["log_level"]) == (1, "conflict", "warning")
    assert (second["sqlstate"], second["error"], second["cause"]) == (None, "DatabaseUnreachable", "session_lost")
    # Without a connection nothing was tried, so nothing was too much at once.
    assert heard == ["CONFLICT"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("failure", "raised", "says"),
    [
        (of_class("55P03"), DatabaseBusy, "SQLSTATE 55P03"),
        (of_class("25P03"), DatabaseBusy, "SQLSTATE 25P03"),
        (of_class("57P01"), DatabaseLost, "SQLSTATE 57P01"),
        (BROKEN, DatabaseLost, "the connection broke"),
        (DatabaseUnreachable("no connection to host=db", hint=""), DatabaseLost, "no connection to host=db"),
        (of_class("53100"), DatabaseFull, "SQLSTATE 53100"),
    ],
    ids=["lock", "stalled", "terminated", "broken", "unreachable", "full"],
)
def test_it_gives_up_with_the_way_out(failure: Exception, raised: type[CleanupError], says: str) -> None:
    work = Failing(*[failure] * 10)
    with pytest.raises(raised) as told:
        retry_transaction(work)
    assert work.attempts == QUICK.attempts
    assert f"gave up after {QUICK.attempts} attempts" in told.value.message
    assert says in told.value.message
    assert "run the same command again" in told.value.hint


@pytest.mark.parametrize(("sqlstate", "raised"), [("42P01", DatabaseError), ("42501", PrivilegeMissing)])
def test_what_no_retry_cures_is_told_at_once(sqlstate: str, raised: type[CleanupError]) -> None:
    work = Failing(of_class(sqlstate))
    with pytest.raises(raised, match=sqlstate):
        retry_transaction(work)
    assert work.attempts == 1


def test_an_outage_is_given_time_and_not_only_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    patience = Patience(attempts=2, seconds=0.3, first_wait=0.02, longest_wait=0.02)
    monkeypatch.setitem(PATIENCE, Cause.SESSION_LOST, patience)
    work = Failing(*[BROKEN] * 10_000)
    begun = time.monotonic()
    with pytest.raises(DatabaseLost):
        retry_transaction(work)
    assert time.monotonic() - begun >= patience.seconds
    assert work.attempts > patience.attempts


@pytest.mark.parametrize("cause", Cause)
def test_waits_are_random_within_their_limits(cause: Cause, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes that lost the same server must not all come back in the same moment."""
    patience = PATIENCE[cause]
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    monkeypatch.setitem(
        PATIENCE, cause, Patience(40, 0.0, patience.first_wait, patience.longest_wait, patience.shortest_wait)
    )
    sqlstate = next(state for state, one in retry._CAUSES.items() if one is cause)
    with contextlib.suppress(CleanupError):
        retry_transaction(Failing(*[of_class(sqlstate)] * 40))
    assert len(waits) == 39
    assert patience.shortest_wait <= min(waits)
    assert max(waits) <= patience.longest_wait
    assert max(waits) > patience.longest_wait / 2
    assert len(set(waits)) == len(waits)


def test_every_patience_ends() -> None:
    assert set(PATIENCE) == set(Cause)
    for patience in PATIENCE.values():
        assert patience.attempts <= 10
        assert patience.seconds <= 30
