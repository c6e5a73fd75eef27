"""One lane in the test's own process, held at a chosen point of a batch while authors act.

The code that runs is the job's own, on real connections: a lane is a function here instead of a process, and
its session stops at a gate. Two of the gates stand in the server, since the client sends what lies between
them in one go.
"""

import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

import psycopg
import pytest

from cleanup.db.batch_exchange import Ledgering, Opening, RowWrite
from cleanup.db.batch_session import BatchSession
from cleanup.db.connection import Connection as OurConnection
from cleanup.db.keys import Key
from cleanup.db.selection import Selection
from cleanup.engine import applying, planning, rolling_back, run_job, run_lane
from cleanup.engine.lanes import Entry, Stop, WaitingLanes
from tests.faults.jobs import DEADLINE_SECONDS, Site, wait_for

_Order = TypeVar("_Order")
_ADVISORY = 77


class Point(Enum):
    """Where in a batch the lane is held."""

    READ_AHEAD = "the findings are read, the batch is not open"
    INSERTED = "the batch's own row is inserted, no post is locked"
    LOCKED = "the posts are locked and read, nothing is decided"
    JUDGED = "all is decided, nothing is written"
    WRITTEN = "posts and log are written, nothing is committed"
    COMMITTED = "the batch is committed"

    @property
    def holds_locks(self) -> bool:
        return self in (Point.LOCKED, Point.JUDGED, Point.WRITTEN)

    @property
    def is_before_us(self) -> bool:
        return self in (Point.READ_AHEAD, Point.INSERTED)


@dataclass(slots=True)
class Gate:
    """Holds the first batch on one leaf at one point until it is opened; later batches pass."""

    point: Point
    leaf_number: int
    arrived: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def reached(self, point: Point, leaf_number: int) -> None:
        if point is self.point and leaf_number == self.leaf_number and not self.arrived.is_set():
            self.arrived.set()
            assert self.opened.wait(DEADLINE_SECONDS), "nobody opened the gate"


def _stepped(gate: Gate) -> type[BatchSession]:
    class SteppedSession(BatchSession):
        def open(self, keys: Sequence[Key]) -> Opening:
            gate.reached(Point.READ_AHEAD, self._target.leaf_number)
            opening = super().open(keys)
            gate.reached(Point.LOCKED, self._target.leaf_number)
            return opening

        def commit_together(self, writes: Sequence[RowWrite], ledgering: Ledgering) -> None:
            gate.reached(Point.JUDGED, self._target.leaf_number)
            super().commit_together(writes, ledgering)
            gate.reached(Point.COMMITTED, self._target.leaf_number)

    return SteppedSession


def one_lane_here(
    entry: Entry[_Order],
    order: _Order,
    lanes: int,
    on_tick: Callable[[], object],
    deadline: float | None = None,
    niceness: int = 0,
    waiting: WaitingLanes | None = None,
) -> None:
    """What `run_lanes` does, with one lane in this process."""
    del lanes, deadline, niceness, waiting
    until_closed, keep_going = multiprocessing.Pipe(duplex=False)
    entry(order, 1, Stop(until_closed))
    on_tick()
    keep_going.close()
    until_closed.close()


def quiet(connection: OurConnection, number: int) -> None:
    """No progress to show."""
    del connection, number


class Stepping:
    """Runs plan, apply and rollback in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        for module in (planning, run_job):
            monkeypatch.setattr(module, "run_lanes", one_lane_here)

    def plan(self, site: Site, since: int | None = None) -> int:
        plan_id = planning.make_plan(site.job(), since, quiet).plan_id
        site.approve(plan_id)
        return plan_id

    def apply(self, site: Site, plan_id: int) -> int:
        return applying.apply_plan(site.job(), plan_id, quiet).run_id

    def roll_back(self, site: Site, run_id: int) -> int:
        return rolling_back.roll_back(site.job(), run_id, Selection(), quiet).run_id

    @contextmanager
    def held(self, site: Site, work: Callable[[], object], point: Point, leaf_number: int) -> Iterator[None]:
        """Run `work` in a thread up to the point; the body of the `with` acts there; then let it run to its end."""
        gate = Gate(point, leaf_number)
        in_server = point in (Point.INSERTED, Point.WRITTEN)
        self._monkeypatch.setattr(run_lane, "BatchSession", _stepped(gate))
        failures: list[BaseException] = []

        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)

        with site.connect() as keeper:
            if in_server:
                _install_gate(keeper, "INSERT" if point is Point.INSERTED else "UPDATE", leaf_number)
            thread = threading.Thread(target=run)
            thread.start()
            try:
                if in_server:
                    wait_for("the lane at its gate", lambda: bool(failures) or _is_at_gate(keeper))
                else:
                    wait_for("the lane at its gate", lambda: bool(failures) or gate.arrived.is_set())
                if not failures:
                    yield
            finally:
                gate.opened.set()
                if in_server:
                    _remove_gate(keeper)
                thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive(), "the lane did not come to an end"
        if failures:
            raise failures[0]


def _install_gate(keeper: "psycopg.Connection[tuple[object, ...]]", event: str, leaf_number: int) -> None:
    keeper.execute("SELECT pg_advisory_lock(%s)", (_ADVISORY,))
    keeper.execute(
        """CREATE OR REPLACE FUNCTION public.gate() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock_shared(77) FROM cleanup.run_chunk AS c
              WHERE c.run_id = NEW.run_id AND c.chunk_number = NEW.chunk_number AND c.leaf_number = tg_argv[0]::int;
            RETURN NULL;
        END $$"""
    )
    keeper.execute(
        f"CREATE TRIGGER gate AFTER {event} ON cleanup.batch"
        f" FOR EACH ROW EXECUTE FUNCTION public.gate({leaf_number})".encode()
    )


def _is_at_gate(keeper: "psycopg.Connection[tuple[object, ...]]") -> bool:
    row = keeper.execute("SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()
    return row == (True,)


def _remove_gate(keeper: "psycopg.Connection[tuple[object, ...]]") -> None:
    # Unlocked first: the trigger can only be dropped when the lane's transaction has ended.
    keeper.execute("SELECT pg_advisory_unlock(%s)", (_ADVISORY,))
    keeper.execute("DROP TRIGGER gate ON cleanup.batch")


@contextmanager
def in_this_process() -> Iterator[Stepping]:
    """What comes before the matter of a test needs no processes, whose start takes most of their time."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Stepping(monkeypatch)


class Authors:
    """Authors that each do one statement, on connections of their own, some of which have to wait for us."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._threads: list[threading.Thread] = []
        self._failures: list[BaseException] = []

    def do(self, statement: str, values: Sequence[object] = ()) -> None:
        """Start one statement, and do not wait for its end."""

        def run() -> None:
            try:
                with self._site.connect() as connection:
                    connection.execute(statement.encode(), values or None)
            except BaseException as error:
                self._failures.append(error)

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()

    def wait_until_blocked(self) -> None:
        """Until every one of them waits for somebody's lock."""
        wait_for("the authors to wait for the lane", lambda: self._blocked() == len(self._threads))

    def join(self) -> None:
        """Until every statement has ended; none may have failed."""
        for thread in self._threads:
            thread.join(DEADLINE_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads), "an author waits for ever"
        assert self._failures == []

    def _blocked(self) -> int:
        assert self._failures == []
        return self._site.number(
            "SELECT count(*) FROM pg_stat_activity AS a WHERE a.application_name = 'author'"
            " AND a.datname = current_database() AND cardinality(pg_blocking_pids(a.pid)) > 0"
        )
