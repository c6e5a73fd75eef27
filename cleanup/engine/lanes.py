"""Lanes: worker processes that share nothing but the ledger, and the ways they are asked to stop."""

import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from itertools import count
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import Final, Generic, Self, TypeVar

from cleanup.engine.job_signals import STOP_SIGNALS, Signals, signals_held, signals_noted
from cleanup.engine.lane_priority import come_after_others
from cleanup.errors import CleanupError, InvariantBroken, LaneLost
from cleanup.event_catalogue import Event
from cleanup.log import bound, configure_logging, tell

_Order = TypeVar("_Order")

TICK_SECONDS: Final = 0.5
IDLE_SECONDS: Final = 0.1
# A lease is prolonged after this part of it.
RENEW_AFTER: Final = 1 / 3


class Stop:
    """Whether a lane is to end between batches: it was asked to, or the job that started it is gone.

    The lane's own pipe, which brought its order, and which the job closes and a dead job has closed. An Event is a
    lock that all lanes share: a lane that was killed while it held it would hang every other lane, and the job.
    """

    def __init__(self, until_closed: Pipe) -> None:
        self._until_closed = until_closed

    def asked(self) -> bool:
        """Looked at between batches, never within one."""
        return self._until_closed.poll(0)

    def pause(self, seconds: float) -> bool:
        """Wait, for other lanes or for the database, but no longer than until somebody asks to stop; whether so."""
        return self._until_closed.poll(seconds)


Entry = Callable[[_Order, int, Stop], None]


@dataclass(frozen=True, slots=True)
class _Lane:
    """The job's side of a lane: what it says at its end, and the pipe that brings its order and whose closing asks it
    to stop."""

    number: int
    process: SpawnProcess
    ending: Pipe
    keep_going: Pipe

    @property
    def is_asked(self) -> bool:
        return self.keep_going.closed

    def give(self, order: tuple[object, int]) -> None:
        """Send order and niceness; what became of a lane that is gone by then is asked when all take their leave."""
        with suppress(OSError):
            self.keep_going.send(order)

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


class WaitingLanes:
    """Lanes that load while the job still makes sure that there is work for them: they wait for their order, and those
    that get none by the end of the `with` have done nothing and are ended."""

    def __init__(self) -> None:
        self._lanes: list[_Lane] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.dismiss()

    def load(self, entry: Entry[_Order], lanes: int) -> None:
        """Have so many lanes load."""
        with signals_held():
            self._lanes += [_start(entry, number) for number in range(len(self._lanes) + 1, lanes + 1)]

    def take(self, lanes: int) -> list[_Lane]:
        """Hand over so many of them, or as many as there are."""
        taken, self._lanes = self._lanes[:lanes], self._lanes[lanes:]
        return taken

    def dismiss(self) -> None:
        """End those that nobody has taken."""
        for lane in self.take(len(self._lanes)):
            lane.process.kill()
            lane.problem()


class Stopped(Enum):
    """Why lanes were asked to end although there was something left to do."""

    BY_SIGNAL = "by a signal"
    AT_MAX_RUNTIME = "at its maximum runtime"


def run_lanes(
    entry: Entry[_Order],
    order: _Order,
    lanes: int,
    on_tick: Callable[[], int | None],
    deadline: float | None = None,
    niceness: int = 0,
    waiting: WaitingLanes | None = None,
) -> Stopped | None:
    """Run `entry(order, lane, stop)` in so many processes until all have ended; return why they were asked to, if so.

    `on_tick` is called about twice a second; it may say how many lanes there are to be from now on. The first
    lane that fails stops the others between batches, and its error is raised here; a lane that was killed
    raises LaneLost. At `deadline`, on the monotonic clock, lanes are stopped between batches. `niceness` is how far
    lanes come after others on their host. Lanes that have been `waiting` for such an order get it first.
    """
    waiting = waiting or WaitingLanes()
    with signals_noted() as signals:
        crew = _Crew(entry, order, niceness)
        crew.resize(lanes, waiting.take(lanes))
        waiting.dismiss()
        failure, stopped = _watch(crew, signals, on_tick, deadline)
    if failure is not None:
        raise failure
    return stopped


class _Crew(Generic[_Order]):
    """The lanes of one job: they grow and shrink between batches, and each has a number of its own."""

    def __init__(self, entry: Entry[_Order], order: _Order, niceness: int) -> None:
        self._entry = entry
        self._order = order
        self._niceness = niceness
        self.alive: list[_Lane] = []
        self._is_ending = False

    def resize(self, lanes: int, waiting: Sequence[_Lane] = ()) -> None:
        """Start lanes, or ask the last ones to end; once a lane found nothing left to do, none is started.

        Those that are `waiting` already come first.
        """
        working = [lane for lane in self.alive if not lane.is_asked]
        for surplus in working[lanes:]:
            surplus.ask_to_stop()
        missing = 0 if self._is_ending else lanes - len(working) - len(waiting)
        taken = {lane.number for lane in (*self.alive, *waiting)}
        free = (number for number in count(1) if number not in taken)
        with signals_held():
            started = [*waiting, *(_start(self._entry, next(free)) for _ in range(missing))]
        self.alive += started
        for lane in started:
            # A policy of a thousand hosts is more than a pipe holds: sending it waits until the lane has loaded. So all
            # of them load at once.
            lane.give((self._order, self._niceness))

    def ask_to_stop(self) -> None:
        """Let every lane end between batches."""
        self._is_ending = True
        for lane in self.alive:
            lane.ask_to_stop()

    def take_leave(self) -> list[CleanupError]:
        """Let go of the lanes that have ended; how they failed, if they did."""
        problems: list[CleanupError] = []
        for lane in [lane for lane in self.alive if not lane.process.is_alive()]:
            self.alive.remove(lane)
            self._is_ending = self._is_ending or not lane.is_asked
            problem = lane.problem()
            problems += [problem] if problem is not None else []
        return problems


def _start(entry: Entry[_Order], number: int) -> _Lane:
    spawning = multiprocessing.get_context("spawn")
    ending, sender = spawning.Pipe(duplex=False)
    until_closed, keep_going = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_lane, args=(entry, number, until_closed, sender), name=f"cleanup lane {number}")
    process.start()
    sender.close()
    until_closed.close()
    return _Lane(number, process, ending, keep_going)


def _watch(
    crew: _Crew[_Order], signals: Signals, on_tick: Callable[[], int | None], deadline: float | None
) -> tuple[CleanupError | None, Stopped | None]:
    failure: CleanupError | None = None
    stopped: Stopped | None = None
    asked = False
    while crew.alive:
        wait([lane.process.sentinel for lane in crew.alive], timeout=TICK_SECONDS)
        wanted = None
        try:
            # A job that ends anyway has nothing to show, and does not wait once more for a database that is gone.
            wanted = on_tick() if failure is None else None
        except CleanupError as error:
            failure = error
        for problem in crew.take_leave():
            failure = failure or problem
        if stopped is None and signals.came is not None:
            stopped = Stopped.BY_SIGNAL
        elif stopped is None and deadline is not None and time.monotonic() >= deadline:
            stopped = Stopped.AT_MAX_RUNTIME
        if failure is None and stopped is None:
            if wanted is not None:
                crew.resize(wanted)
        elif not asked:
            asked = True
            if stopped is not None:
                signal_name = signals.came.name if signals.came is not None else None
                tell(Event.JOB_STOP_ASKED, why=stopped.value, signal=signal_name)
            crew.ask_to_stop()
    return failure, stopped


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit status {code}"


def _lane(entry: Entry[_Order], lane: int, until_closed: Pipe, sender: Pipe) -> None:
    # A terminal or a service manager sends its signals to every process of the job; only the job itself decides what
    # they mean.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    configure_logging()
    try:
        order, niceness = until_closed.recv()
    except (EOFError, OSError):
        # The job is gone, perhaps with a part of the order sent.
        return
    come_after_others(niceness)
    _look_for_cycles_seldom()
    try:
        with bound(lane=lane):
            entry(order, lane, Stop(until_closed))
    except CleanupError as error:
        _send(sender, error)
    except Exception as error:
        _send(sender, internal_error(error))
    finally:
        sender.close()
        sys.stderr.flush()


def _look_for_cycles_seldom() -> None:
    # A lane makes and drops millions of small objects, none of them in a cycle: as Python has it, a quarter of a
    # lane's time would go into looking for some. What was imported stays for good.
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


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
