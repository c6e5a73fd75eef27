"""Judging signals, measuring lag, spending WAL, opening the window: without a database."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanup.config import Throttle, Window
from cleanup.db.signals import ReplicaPosition
from cleanup.db.throttles import Health, SignalState
from cleanup.engine.replica_lag import WalHistory
from cleanup.engine.throttle import Reading, judge, reason_of
from cleanup.engine.wal_budget import WalBudget
from cleanup.engine.window import minutes_until_open
from cleanup.vocabulary import Signal

NOON = datetime(2021, 8, 2, 12, tzinfo=UTC)
THROTTLE = Throttle()
MIB = 1 << 20


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def states(
    signal: Signal, *values: float | None, throttle: Throttle = THROTTLE, watched: bool = True
) -> list[SignalState]:
    """A signal's state after each value, a second apart."""
    found: list[SignalState] = []
    for place, value in enumerate(values):
        reading = Reading(signal, value, "here", after(place), watched)
        found += judge([reading], throttle, found[-1:], after(place))
    return found


def test_a_signal_holds_from_beyond_its_limit_until_well_below_it() -> None:
    found = states(Signal.REPLICA_LAG, 10, 10.1, 9, 8.1, 8, 9)
    assert [state.health.holds for state in found] == [False, True, True, True, False, False]
    assert [state.since for state in found] == [NOON, after(1), after(1), after(1), after(4), after(4)]


def test_a_limit_of_nothing_holds_for_anything_and_lets_go_at_nothing() -> None:
    assert [state.health.holds for state in states(Signal.VACUUM, 0, 1, 0)] == [False, True, False]


def test_free_disk_holds_from_below_its_limit_until_well_above_it() -> None:
    found = states(Signal.DISK_FREE, 10_240, 10_239, 12_799, 12_800)
    assert [state.health.holds for state in found] == [False, True, True, False]


def test_what_can_not_be_read_holds_unless_it_is_accepted_ignored_or_not_watched() -> None:
    accepting = replace(THROTTLE, accept_unreadable=frozenset({Signal.SLOT_WAL}))
    ignoring = replace(THROTTLE, ignore=frozenset({Signal.SLOT_WAL}))
    assert states(Signal.SLOT_WAL, None)[0].health is Health.UNREADABLE
    assert states(Signal.REPLICA_LAG, None, throttle=accepting)[0].health is Health.UNREADABLE
    assert states(Signal.SLOT_WAL, None, throttle=accepting)[0].health is Health.ACCEPTED
    assert states(Signal.SLOT_WAL, 10**9, throttle=ignoring)[0].health is Health.IGNORED
    assert states(Signal.DISK_FREE, None, watched=False)[0].health is Health.UNWATCHED
    # A value that can be read counts, accepted or not.
    assert states(Signal.SLOT_WAL, 10**9, throttle=accepting)[0].health is Health.BEYOND


def test_an_unreadable_signal_is_well_again_only_below_where_a_run_resumes() -> None:
    found = states(Signal.REPLICA_LAG, None, 9, 8)
    assert [state.health.holds for state in found] == [True, True, False]


def test_the_reason_has_value_limit_and_source() -> None:
    lag, slot = states(Signal.REPLICA_LAG, 12.34)[0], states(Signal.SLOT_WAL, None)[0]
    assert reason_of([lag]) == "replica_lag 12.3 s, limit 10 (here)"
    assert reason_of([lag, slot]) == "replica_lag 12.3 s, limit 10 (here); slot_wal can not be read: here"
    assert reason_of(states(Signal.REPLICA_LAG, 3)) is None


def test_a_signal_that_holds_for_too_long_raises_one_alert() -> None:
    throttle = replace(THROTTLE, alert_after_seconds=2, alert_after=((Signal.VACUUM, 3),))
    assert [state.alerted for state in states(Signal.LOCK_QUEUE, 9, 9, 9, 9, 0, 9, throttle=throttle)] == [
        False, False, True, True, False, False,
    ]  # fmt: skip
    assert [state.alerted for state in states(Signal.VACUUM, 1, 1, 1, 1, throttle=throttle)] == [
        False, False, False, True,
    ]  # fmt: skip
    # A window is closed for most of the day, and nobody is to be called for that.
    assert not states(Signal.WINDOW, *[600.0] * 9, throttle=throttle)[-1].alerted


# ---------------------------------------------------------------------------------------------- lag


def replica(position: int, reported: float = 0.0) -> ReplicaPosition:
    return ReplicaPosition("one", position, reported)


def test_lag_is_the_age_of_what_is_not_replayed() -> None:
    history = WalHistory()
    for second, position in enumerate([100, 200, 200, 300]):
        history.note(position, float(second))
    assert history.lag_seconds(replica(300), 9.0) == 0
    assert history.lag_seconds(replica(299), 9.0) == 6
    assert history.lag_seconds(replica(200), 9.0) == 6
    assert history.lag_seconds(replica(150), 9.0) == 8
    assert history.lag_seconds(replica(50), 9.0) == 9


def test_nobody_lags_where_nothing_is_written() -> None:
    history = WalHistory()
    for second in range(60):
        history.note(100, float(second))
    assert history.lag_seconds(replica(100), 1_000.0) == 0


def test_what_lies_before_the_first_look_is_the_servers_own_word() -> None:
    history = WalHistory()
    history.note(100, 0.0)
    assert history.lag_seconds(replica(50, reported=40.0), 1.0) == 40
    history.note(200, 1.0)
    # Once the replica is within what was seen, its own history is better than a word that may be old.
    assert history.lag_seconds(replica(150, reported=40.0), 2.0) == 1


def test_the_slowest_replica_counts() -> None:
    history = WalHistory()
    assert history.slowest([], 0.0) is None
    history.note(100, 0.0)
    found = history.slowest([replica(100), replica(10), replica(99)], 5.0)
    assert found is not None
    assert found[0] == 5


# ---------------------------------------------------------------------------------------------- WAL


@given(rate=st.integers(1, 200), limit=st.integers(1, 50), steps=st.integers(20, 200))
def test_a_run_stays_within_its_wal_limit_on_average(rate: int, limit: int, steps: int) -> None:
    """A lane that writes at `rate` whenever it may, seen every quarter of a second."""
    budget, now, position, open_from = WalBudget(), 0.0, 0, 0.0
    budget.note(now, position, working=False, bytes_per_second=limit * MIB)
    for _ in range(steps):
        working = now >= open_from
        position += int(rate * MIB * 0.25) if working else 0
        now += 0.25
        wait = budget.note(now, position, working=working, bytes_per_second=limit * MIB)
        open_from = now + wait
    # What may come at once, and what one look can not see in time.
    assert position <= limit * MIB * (now + 1) + rate * MIB * 0.25
    if rate < limit:
        assert wait == 0


def test_without_a_limit_nobody_waits_and_what_others_write_meanwhile_is_not_ours() -> None:
    budget = WalBudget()
    for second in range(20):
        assert budget.note(float(second), second * 10 * MIB, working=second % 2 == 0, bytes_per_second=0) == 0
    assert budget.bytes_per_second == pytest.approx(5 * MIB, rel=0.2)


# ---------------------------------------------------------------------------------------------- window

NIGHT = Window(((time(1), time(6)),), ZoneInfo("Asia/Shanghai"))
OVER_MIDNIGHT = Window(((time(22, 30), time(2)),), ZoneInfo("Asia/Shanghai"))


@pytest.mark.parametrize(
    ("window", "clock", "minutes"),
    [
        (NIGHT, "2021-08-02T01:00+08:00", 0),
        (NIGHT, "2021-08-01T17:00+00:00", 0),
        (NIGHT, "2021-08-02T05:59+08:00", 0),
        (NIGHT, "2021-08-02T06:00+08:00", 19 * 60),
        (NIGHT, "2021-08-02T00:59+08:00", 1),
        (OVER_MIDNIGHT, "2021-08-02T23:00+08:00", 0),
        (OVER_MIDNIGHT, "2021-08-02T01:59+08:00", 0),
        (OVER_MIDNIGHT, "2021-08-02T02:00+08:00", 20 * 60 + 30),
        # The night in which Berlin's clocks go back has an hour more.
        (Window(((time(6), time(7)),), ZoneInfo("Europe/Berlin")), "2021-10-31T00:30+02:00", 6 * 60 + 30),
    ],
)
def test_the_window_is_open_by_the_clock_on_the_wall(window: Window, clock: str, minutes: float) -> None:
    assert minutes_until_open(window, datetime.fromisoformat(clock)) == minutes
