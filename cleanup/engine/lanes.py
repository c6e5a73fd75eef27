"""Lanes: worker processes that share nothing but the ledger, and the ways they are asked to stop."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Final, TypeVar

from cleanup.errors import CleanupError, InvariantBroken, LaneLost
from cleanup.log import bind, configure_logging, get_logger

_Order = TypeVar("_Order")

TICK_SECONDS: Final = 0.5
IDLE_SECONDS: Final = 0.1

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether a lane is to end between batches: it was asked to, or the job that started it is gone.

    A pipe of the lane's own, which the job closes and a dead job has closed. An Event is a lock that all lanes
    share: a lane that was killed while it held it would hang every other lane, and the job.
    """

    def __init__(self, until_closed: Pipe) -> None:
        self._until_closed = until_closed

    def asked(self) -> bool:
        """Looked at between batches, never within one."""
        return self._until_closed.poll(0)

    def pause(self, seconds: float) -> None:
        """Wait for other lanes, but no longer than until somebody asks to stop."""
        self._until_closed.poll(seconds)


Entry = Callable[[_Order, int, Stop], None]


@dataclass(frozen=True, slots=True)
class _Lane:
    """The job's side of a lane: what it says at its end, and the pipe whose closing asks it to stop."""

    process: SpawnProcess
    ending: Pipe
    keep_going: Pipe

    def ask_to_stop(self) -> None:
        self.keep_going.close()

    def problem(self) -> CleanupError | None:
        """How the ended lane failed, if it did."""
        self.process.join()
        try:
            sent = self.ending.recv() if self.ending.poll() else None
        except (EOFError, OSError):
            sent = None
        self.ending.close()
        self.keep_going.close()
        if isinstance(sent, CleanupError):
            return sent
        if self.process.exitcode != 0:
            return LaneLost(
                f"{self.process.name} ended with {_describe_exit(self.process.exitcode)}",
                hint="nothing is lost: run the same command again to go on.",
            )
        return None


class _Signals:
    """Remembers the signal that asked the job to stop; the handler does nothing else, since it can come anywhere."""

    def __init__(self) -> None:
        self.came: signal.Signals | None = None

    def note(self, number: int, frame: object) -> None:
        del frame
        self.came = signal.Signals(number)


def run_lanes(entry: Entry[_Order], order: _Order, lanes: int, on_tick: Callable[[], None]) -> bool:
    """Run `entry(order, lane, stop)` in so many processes until all have ended; return whether a signal asked to stop.

    `on_tick` is called about twice a second. The first lane that fails stops the others between
    batches, and its error is raised here; a lane that was killed raises LaneLost.
    """
    context = multiprocessing.get_context("spawn")
    with _signals_noted() as signals:
        with _signals_held():
            running = [_start(context, entry, order, lane) for lane in range(1, lanes + 1)]
        failure = _watch(running, signals, on_tick)
    if failure is not None:
        raise failure
    return signals.came is not None


def _start(context: SpawnContext, entry: Entry[_Order], order: _Order, lane: int) -> _Lane:
    ending, sender = context.Pipe(duplex=False)
    until_closed, keep_going = context.Pipe(duplex=False)
    process = context.Process(
        target=_lane, args=(entry, order, lane, until_closed, sender), name=f"cleanup lane {lane}"
    )
    process.start()
    sender.close()
    until_closed.close()
    return _Lane(process, ending, keep_going)


def _watch(lanes: list[_Lane], signals: _Signals, on_tick: Callable[[], None]) -> CleanupError | None:
    failure: CleanupError | None = None
    alive = list(lanes)
    asked = False
    while alive:
        wait([lane.process.sentinel for lane in alive], timeout=TICK_SECONDS)
        try:
            on_tick()
        except CleanupError as error:
            failure = failure or error
        for lane in [lane for lane in alive if not lane.process.is_alive()]:
            alive.remove(lane)
            problem = lane.problem()
            failure = failure or problem
        if not asked and (failure is not None or signals.came is not None):
            asked = True
            if signals.came is not None:
                get_logger().info("job.stop_asked", signal=signals.came.name)
            for lane in alive:
                lane.ask_to_stop()
    return failure


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit status {code}"


@contextmanager
def _signals_noted() -> Iterator[_Signals]:
    signals = _Signals()
    before = {number: signal.signal(number, signals.note) for number in _SIGNALS}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Signals wait while lanes start: a lane inherits that, and so does not die of a Ctrl-C before it can ignore it."""
    # Else the first lane's start would start the tracker, which lets signals through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _lane(entry: Entry[_Order], order: _Order, lane: int, until_closed: Pipe, sender: Pipe) -> None:
    # A terminal sends its signals to every process of the job; only the job itself decides what they mean.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    configure_logging()
    bind(lane=lane)
    try:
        entry(order, lane, Stop(until_closed))
    except CleanupError as error:
        _send(sender, error)
    except Exception as error:
        _send(sender, internal_error(error))
    finally:
        sender.close()
        sys.stderr.flush()


def _send(sender: Pipe, error: CleanupError) -> None:
    # A job that is gone can not be told any more.
    with suppress(OSError):
        sender.send(error)


def internal_error(error: BaseException) -> InvariantBroken:
    """The message for an error that should be impossible: its kind and place, never a value."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{os.path.basename(place.tb_frame.f_code.co_filename)}:{place.tb_lineno}" if place else "unknown place"  # noqa: PTH119
    return InvariantBroken(
        f"{type(error).__name__} at {where}",
        hint="nothing of that batch was written; report this, and run the same command again to go on.",
    )
