"""Pace, throttle and window: read from a config, and put in its place while a run works."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import time
from pathlib import Path

import pytest

from cleanup.config import Pace, Throttle, Window
from cleanup.config_pace import merge_settings, read_throttle, read_window, with_settings
from cleanup.document import Problems, Section
from cleanup.errors import ConfigInvalid, UsageInvalid
from cleanup.vocabulary import Signal


def section(values: Mapping[str, object]) -> tuple[Section, Problems]:
    problems = Problems(Path("job.toml"), ConfigInvalid)
    return Section(problems, "here", values), problems


def window(*spans: str, zone: str = "Asia/Shanghai") -> Window:
    values, problems = section({"only_between": list(spans), "time_zone": zone})
    found = read_window(values)
    problems.raise_if_any()
    return found


def test_a_window_may_have_several_spans_and_reach_over_midnight() -> None:
    found = window("01:00-06:00", "22:30-00:15", "20:00-24:00")
    assert found.only_between == (
        (time(1), time(6)),
        (time(22, 30), time(0, 15)),
        (time(20), time(0)),
    )
    assert str(found.time_zone) == "Asia/Shanghai"


@pytest.mark.parametrize(
    ("spans", "zone", "said"),
    [
        ((), "UTC", "is empty"),
        (("1:00-06:00",), "UTC", "'1:00-06:00'"),
        (("01:00-25:00",), "UTC", "'01:00-25:00'"),
        (("01:00-01:00",), "UTC", "no time at all"),
        (("01:00-06:00",), "Mars/Base", "IANA zone"),
    ],
)
def test_a_wrong_window_is_refused(spans: tuple[str, ...], zone: str, said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        window(*spans, zone=zone)


def test_a_throttle_names_its_signals_and_holds_no_password() -> None:
    values, problems = section(
        {
            "replica_lag_seconds": 30,
            "ignore": ["vacuum"],
            "accept_unreadable": ["archive_queue"],
            "alert_after": {"vacuum": 60},
            "replicas": ["service=second"],
        }
    )
    throttle = read_throttle(values)
    problems.raise_if_any()
    assert throttle == replace(
        Throttle(),
        replica_lag_seconds=30,
        ignore=frozenset({Signal.VACUUM}),
        accept_unreadable=frozenset({Signal.ARCHIVE_QUEUE}),
        alert_after=((Signal.VACUUM, 60),),
        replicas=("service=second",),
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ignore": ["lag"]}, "the signals are replica_lag, slot_wal"),
        ({"alert_after": {"lag": 3}}, "here.alert_after.lag: unknown key"),
        ({"replicas": ["host=a password=b"]}, "holds a password"),
        ({"replicas": ["postgresql://me:secret@a/b"]}, "holds a password"),
        ({"resume_at": 2}, "from 0 to 1"),
        ({"lag": 3}, "unknown key"),
    ],
)
def test_a_wrong_throttle_is_refused(values: Mapping[str, object], said: str) -> None:
    given, problems = section(values)
    read_throttle(given)
    with pytest.raises(ConfigInvalid, match=said) as refused:
        problems.raise_if_any()
    assert "secret" not in refused.value.message


def test_settings_take_the_place_of_the_configs_and_are_taken_back() -> None:
    configured = replace(Pace(), lanes=7), replace(Throttle(), ignore=frozenset({Signal.VACUUM}))
    settings = merge_settings({}, ["pace.lock_target_ms=50", "throttle.replica_lag=ignore", "throttle.vacuum=watch"])
    pace, throttle = with_settings(*configured, settings)
    assert (pace.lanes, pace.lock_target_ms) == (7, 50)
    assert throttle.ignore == {Signal.REPLICA_LAG}
    settings = merge_settings(settings, ["throttle.replica_lag=config", "pace.lock_target_ms=config", "pace.lanes=3"])
    pace, throttle = with_settings(*configured, settings)
    assert pace == replace(Pace(), lanes=3)
    assert throttle.ignore == frozenset()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("pace.lanes=65", "pace.lanes: is 65, must be from 1 to 64"),
        ("pace.lanes=many", "pace.lanes: is 'many', must be a whole number"),
        ("pace.speed=3", "pace.speed: unknown key"),
        ("pace.chunk_rows=3", "is no setting of a run"),
        ("throttle.replicas=[]", "is no setting of a run"),
        ("throttle.replica_lag=off", "must be ignore, watch or config"),
        ("approval.max_drift=1", "approval: is not to be set"),
        ("pace=3", "is no setting of a run"),
        ("pace.lanes", "is no setting of a run"),
    ],
)
def test_a_wrong_setting_is_refused_as_it_would_be_in_the_config(word: str, said: str) -> None:
    with pytest.raises(UsageInvalid, match=said):
        merge_settings({}, [word])
