"""Makes the clock of a Python process wrong: its folder on PYTHONPATH, the error in CLEANUP_TEST_CLOCK_SECONDS.

Python imports this file at the start of every process, so of a job and of all its lanes. What counts seconds and has no
date (time.monotonic) runs right in a machine whose clock is wrong, and so it does here.
"""

import copyreg
import datetime
import os
import time
from typing import Final, Self

_ERROR_SECONDS: Final = float(os.environ["CLEANUP_TEST_CLOCK_SECONDS"])

_right_datetime = datetime.datetime
_time, _time_ns, _clock_gettime = time.time, time.time_ns, time.clock_gettime
_localtime, _gmtime, _ctime, _strftime = time.localtime, time.gmtime, time.ctime, time.strftime


def _wrong_time() -> float:
    return _time() + _ERROR_SECONDS


class _MakesRightOnes(type):
    """Only the clock is to be wrong: so every instance is one of the class that compiled modules know."""

    def __call__(cls, *parts: object, **named: object) -> datetime.datetime:
        made: datetime.datetime = _right_datetime(*parts, **named)  # type: ignore[arg-type]
        return made

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _right_datetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _right_datetime)


class _WrongDatetime(datetime.datetime, metaclass=_MakesRightOnes):
    __slots__ = ()  # as large as the class whose place it takes, which compiled modules look at

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Self:
        return cls.fromtimestamp(_wrong_time(), tz)

    @classmethod
    def utcnow(cls) -> Self:
        return cls.fromtimestamp(_wrong_time(), datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Self:
        return cls.fromtimestamp(_wrong_time())


def revive(*state: object) -> datetime.datetime:
    """What a job sends to its lanes, which would look for its class by a name that stands for another one by now."""
    made: datetime.datetime = _right_datetime(*state)  # type: ignore[arg-type]
    return made


def _reduced(right: datetime.datetime) -> tuple[object, ...]:
    return (revive, right.__reduce__()[1])


copyreg.pickle(_right_datetime, _reduced)  # type: ignore[arg-type]

for _module, _name, _wrong in (
    (datetime, "datetime", _WrongDatetime),
    (time, "time", _wrong_time),
    (time, "time_ns", lambda: _time_ns() + int(_ERROR_SECONDS * 1e9)),
    (time, "clock_gettime", lambda clock: _clock_gettime(clock) + (clock == time.CLOCK_REALTIME) * _ERROR_SECONDS),
    (time, "localtime", lambda seconds=None: _localtime(_wrong_time() if seconds is None else seconds)),
    (time, "gmtime", lambda seconds=None: _gmtime(_wrong_time() if seconds is None else seconds)),
    (time, "ctime", lambda seconds=None: _ctime(_wrong_time() if seconds is None else seconds)),
    (time, "strftime", lambda form, moment=None: _strftime(form, moment or _localtime(_wrong_time()))),
):
    setattr(_module, _name, _wrong)
