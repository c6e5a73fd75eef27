"""The part of the config that may change while a run works: pace and throttle, and what `set` puts in their place."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import time
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from cleanup.config import Pace, Throttle, Window
from cleanup.document import Problems, Section
from cleanup.errors import UsageInvalid
from cleanup.vocabulary import Signal

Settings = Mapping[str, Mapping[str, object]]

_SPAN: Final = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_PASSWORD: Final = re.compile(r"password\s*=|://[^/@]*:[^/@]*@", re.IGNORECASE)
# The word for a signal that is to be looked at, or not to be.
_WATCH, _IGNORE = "watch", "ignore"
# The word that takes a setting away again: then the config holds.
_AS_CONFIGURED: Final = "config"
# What a running run has no use of, what another host may not have, or what no lane that has begun can take back.
_NOT_WHILE_RUNNING: Final = frozenset(
    {"chunk_rows", "niceness", "alert_after", "ignore", "accept_unreadable", "replicas", "replicas_left_out"}
)


def read_pace(section: Section, standard: Pace | None = None) -> Pace:
    """The section [pace], with `standard` for what it leaves out."""
    standard = standard or Pace()
    pace = Pace(
        lanes=section.integer("lanes", standard.lanes, minimum=1, maximum=64),
        chunk_rows=section.integer("chunk_rows", standard.chunk_rows, minimum=1, maximum=1_000_000),
        lock_target_ms=section.integer("lock_target_ms", standard.lock_target_ms, minimum=10, maximum=10_000),
        batch_rows_max=section.integer("batch_rows_max", standard.batch_rows_max, minimum=1, maximum=100_000),
        rest_percent=section.integer("rest_percent", standard.rest_percent, maximum=1_000),
        niceness=section.integer("niceness", standard.niceness, maximum=19),
        lock_timeout_ms=section.integer("lock_timeout_ms", standard.lock_timeout_ms, minimum=10, maximum=60_000),
        lease_seconds=section.integer("lease_seconds", standard.lease_seconds, minimum=5, maximum=3_600),
        locked_passes=section.integer("locked_passes", standard.locked_passes, minimum=1, maximum=100),
        wal_mib_per_second=section.integer("wal_mib_per_second", standard.wal_mib_per_second, maximum=100_000),
    )
    section.close()
    return pace


def read_throttle(section: Section, standard: Throttle | None = None) -> Throttle:
    """The section [throttle], with `standard` for what it leaves out."""
    standard = standard or Throttle()
    throttle = Throttle(
        replica_lag_seconds=section.integer("replica_lag_seconds", standard.replica_lag_seconds),
        slot_wal_mib=section.integer("slot_wal_mib", standard.slot_wal_mib),
        archive_queue_files=section.integer("archive_queue_files", standard.archive_queue_files),
        archive_failing_seconds=section.integer("archive_failing_seconds", standard.archive_failing_seconds),
        long_transaction_seconds=section.integer("long_transaction_seconds", standard.long_transaction_seconds),
        lock_queue_sessions=section.integer("lock_queue_sessions", standard.lock_queue_sessions),
        vacuums=section.integer("vacuums", standard.vacuums),
        disk_free_mib=section.integer("disk_free_mib", standard.disk_free_mib),
        resume_at=section.fraction("resume_at", standard.resume_at),
        alert_after_seconds=section.integer("alert_after_seconds", standard.alert_after_seconds, minimum=1),
        alert_after=_read_alert_after(section.section("alert_after")) or standard.alert_after,
        ignore=_read_signals(section, "ignore") or standard.ignore,
        accept_unreadable=_read_signals(section, "accept_unreadable") or standard.accept_unreadable,
        replicas=section.texts("replicas", standard.replicas),
        replicas_left_out=frozenset(section.texts("replicas_left_out", tuple(standard.replicas_left_out))),
    )
    if any(_PASSWORD.search(replica) for replica in throttle.replicas):
        section.problem("replicas", "holds a password: leave it to libpq's own means, such as a service or ~/.pgpass")
    section.close()
    return throttle


def read_window(section: Section) -> Window:
    """The section [window]."""
    spans = [_read_span(section, text) for text in section.texts("only_between")]
    name = section.text("time_zone")
    zone = find_zone(name)
    if name and zone is None:
        section.problem("time_zone", f"is {name!r}, must be an IANA zone such as Asia/Shanghai")
    if not spans:
        section.problem("only_between", 'is empty; it must have spans such as "01:00-06:00"')
    section.close()
    return Window(tuple(span for span in spans if span is not None), zone or ZoneInfo("UTC"))


def find_zone(name: str) -> ZoneInfo | None:
    """The time zone of that name, if there is one."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None


def with_settings(pace: Pace, throttle: Throttle, settings: Settings) -> tuple[Pace, Throttle]:
    """What holds for a run: the config, and what `set` has put in its place. Raises UsageInvalid."""
    problems = Problems(Path("set"), UsageInvalid)
    given = {name: dict(values) for name, values in settings.items()}
    uses = {name: given["throttle"].pop(name) for name in list(given.get("throttle", {})) if name in _SIGNALS}
    pace = read_pace(Section(problems, "pace", given.pop("pace", {})), pace)
    throttle = read_throttle(Section(problems, "throttle", given.pop("throttle", {})), throttle)
    for name, use in uses.items():
        if use not in (_WATCH, _IGNORE):
            problems.add(f"throttle.{name}", f"is {use!r}, must be {_IGNORE}, {_WATCH} or {_AS_CONFIGURED}")
        changed = throttle.ignore | {Signal(name)} if use == _IGNORE else throttle.ignore - {Signal(name)}
        throttle = replace(throttle, ignore=changed)
    for name in given:
        problems.add(name, "is not to be set; what can be is pace.KEY, throttle.KEY and throttle.SIGNAL=ignore")
    problems.raise_if_any()
    return pace, throttle


def merge_settings(present: Settings, words: Sequence[str]) -> Settings:
    """The settings once KEY=VALUE words are added; raise UsageInvalid with everything that is wrong with them."""
    merged = {name: dict(values) for name, values in present.items()}
    for word in words:
        path, equals, text = word.partition("=")
        section, _, key = path.partition(".")
        if not equals or not key or key in _NOT_WHILE_RUNNING:
            raise UsageInvalid(
                f"{word!r} is no setting of a run",
                hint="give KEY=VALUE with a pace.KEY or throttle.KEY of the config, or throttle.SIGNAL=ignore.",
            )
        if text == _AS_CONFIGURED:
            merged.get(section, {}).pop(key, None)
        else:
            merged.setdefault(section, {})[key] = _value_of(text)
    with_settings(Pace(), Throttle(), merged)
    return {name: values for name, values in merged.items() if values}


def _value_of(text: str) -> object:
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value


def _read_alert_after(section: Section) -> tuple[tuple[Signal, int], ...]:
    found = tuple(
        (Signal(name), section.integer(name, minimum=1))
        for name in section.keys()  # noqa: SIM118 - a Section is no mapping
        if name in _SIGNALS
    )
    section.close()
    return found


def _read_signals(section: Section, key: str) -> frozenset[Signal]:
    names = section.texts(key, ())
    for name in names:
        if name not in _SIGNALS:
            section.problem(key, f"names {name!r}; the signals are {', '.join(_SIGNALS)}")
    return frozenset(Signal(name) for name in names if name in _SIGNALS)


def _read_span(section: Section, text: str) -> tuple[time, time] | None:
    match = _SPAN.fullmatch(text)
    try:
        hours = [int(part) for part in match.groups()] if match else []
        start, end = time(hours[0], hours[1]), _end(hours[2], hours[3])
    except (ValueError, IndexError):
        section.problem("only_between", f'has {text!r}; a span is such as "01:00-06:00" or "22:00-02:00"')
        return None
    if start == end:
        section.problem("only_between", f"has {text!r}, which is no time at all")
    return start, end


def _end(hour: int, minute: int) -> time:
    return time(0, 0) if (hour, minute) == (24, 0) else time(hour, minute)


_SIGNALS: Final = tuple(signal.value for signal in Signal)
