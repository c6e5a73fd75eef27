"""The signals that ask a job to stop: the job alone decides what they mean, and its lanes ignore them."""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Final

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """Remembers the signal that asked the job to stop; the handler does nothing else, since it can come anywhere."""

    def __init__(self) -> None:
        self.came: signal.Signals | None = None
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def note(self, number: int, frame: object) -> None:
        """Be the handler."""
        del frame
        if self.came is None:
            os.write(self._writer, b"!")
        self.came = signal.Signals(number)

    def wait(self, seconds: float) -> bool:
        """Wait for so long, or until a signal comes; whether one came.

        A sleep would miss a signal that comes in the moment before it begins, and sleep to its end.
        """
        select.select([self._reader], [], [], seconds)
        return self.came is not None

    def close(self) -> None:
        """Give the pipe back, once no handler can write to it."""
        os.close(self._reader)
        os.close(self._writer)


@contextmanager
def signals_noted() -> Iterator[Signals]:
    """Both signals only leave a note meanwhile."""
    signals = Signals()
    before = {number: signal.signal(number, signals.note) for number in STOP_SIGNALS}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signals.close()


@contextmanager
def signals_held() -> Iterator[None]:
    """Signals wait while lanes start: a lane inherits that, and so does not die of a Ctrl-C before it can ignore it."""
    # Else the first lane's start would start the tracker, which lets signals through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
