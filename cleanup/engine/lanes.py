"""Lanes: worker processes that share nothing but the ledger, and the ways they are asked to stop."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from typing import Final, TypeVar

from cleanup.errors import CleanupError, InvariantBroken, LaneLost
from cleanup.log import bind, configure_logging, get_logger

_Order = TypeVar("_Order")

TICK_SECONDS: Final = 0.5
IDLE_SECONDS: Final = 0.1


class Stop:
    """Whether a lane is to end between batches: it was asked to, or the job that started it is gone."""

    def __init__(self, asked: Event) -> None:
        self._asked = asked
        self._parent = multiprocessing.parent_process()

    def asked(self) -> bool:
        """Looked at between batches, never within one."""
        return self._asked.is_set() or (self._parent is not None and not self._parent.is_alive())

    def pause(self, seconds: float) -> None:
        """Wait for other lanes, but no longer than until somebody asks to stop."""
        self._asked.wait(seconds)


Entry = Callable[[_Order, int, Stop], None]


def run_lanes(entry: Entry[_Order], order: _Order, lanes: int, on_tick: Callable[[], None]) -> bool:
    """Run `entry(order, lane, stop)` in so many processes until all have ended; return whether a signal asked to stop.

    `on_tick` is called about twice a second. The first lane that fails stops the others between
    batches, and its error is raised here; a lane that was killed raises LaneLost.
    """
    context = multiprocessing.get_context("spawn")
    asked = context.Event()
    signalled = context.Event()
    with _signals_set(asked, signalled):
        processes: list[tuple[SpawnProcess, Pipe]] = []
        for lane in range(1, lanes + 1):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(
                target=_lane, args=(entry, order, lane, asked, sender), name=f"cleanup lane {lane}"
            )
            process.start()
            sender.close()
            processes.append((process, receiver))
        failure = _watch(processes, asked, on_tick)
    if failure is not None:
        raise failure
    return signalled.is_set()


def _watch(
    processes: list[tuple[SpawnProcess, Pipe]], asked: Event, on_tick: Callable[[], None]
) -> CleanupError | None:
    failure: CleanupError | None = None
    alive = list(processes)
    while alive:
        wait([process.sentinel for process, _ in alive], timeout=TICK_SECONDS)
        try:
            on_tick()
        except CleanupError as error:
            failure = failure or error
            asked.set()
        for process, receiver in list(alive):
            if process.is_alive():
                continue
            alive.remove((process, receiver))
            problem = _ending_of(process, receiver)
            if problem is not None:
                failure = failure or problem
                asked.set()
    return failure


def _ending_of(process: SpawnProcess, receiver: Pipe) -> CleanupError | None:
    process.join()
    try:
        sent = receiver.recv() if receiver.poll() else None
    except EOFError:
        sent = None
    receiver.close()
    if isinstance(sent, CleanupError):
        return sent
    if process.exitcode != 0:
        return LaneLost(
            f"{process.name} ended with {_describe_exit(process.exitcode)}",
            hint="nothing is lost: run the same command again to go on.",
        )
    return None


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit status {code}"


@contextmanager
def _signals_set(asked: Event, signalled: Event) -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        del frame
        signalled.set()
        asked.set()
        get_logger().info("job.stop_asked", signal=signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _lane(entry: Entry[_Order], order: _Order, lane: int, asked: Event, sender: Pipe) -> None:
    # A terminal sends its signals to every process of the job; only the job itself decides what they mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    configure_logging()
    bind(lane=lane)
    try:
        entry(order, lane, Stop(asked))
    except CleanupError as error:
        sender.send(error)
    except Exception as error:
        sender.send(internal_error(error))
    finally:
        sender.close()
        sys.stderr.flush()


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
