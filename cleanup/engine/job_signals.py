"""The signals that ask a job to stop: the job alone decides what they mean, and its lanes ignore them."""

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

    def note(self, number: int, frame: object) -> None:
        """Be the handler."""
        del frame
        self.came = signal.Signals(number)


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
