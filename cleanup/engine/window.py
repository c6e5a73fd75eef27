"""The maintenance window: whether it is open, by a clock that is given, and else for how long it is not."""

from datetime import datetime, time, timedelta, tzinfo

from cleanup.config import Window


def minutes_until_open(window: Window, now: datetime) -> float:
    """0 where the window is open; else how long until its next opening."""
    here = now.astimezone(window.time_zone)
    if any(_holds(span, here.time()) for span in window.only_between):
        return 0.0
    openings = [_next(start, here, window.time_zone) for start, _ in window.only_between]
    return min((opening - now).total_seconds() for opening in openings) / 60


def _holds(span: tuple[time, time], clock: time) -> bool:
    start, end = span
    return start <= clock < end if start < end else clock >= start or clock < end


def _next(start: time, here: datetime, zone: tzinfo) -> datetime:
    # By the clock on the wall: where the clocks are changed, a day has 23 or 25 hours.
    day = here.date() if here.time() < start else here.date() + timedelta(days=1)
    return datetime.combine(day, start, tzinfo=zone)
