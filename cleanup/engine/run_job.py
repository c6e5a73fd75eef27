"""The job of a run, whatever its kind: its lanes, the watch beside them, and how the run ends."""

from collections.abc import Callable
from typing import Generic, TypeVar

from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.runs import Run
from cleanup.engine.job import Job
from cleanup.engine.lanes import Entry, WaitingLanes, run_lanes
from cleanup.engine.run_end import end_run
from cleanup.engine.run_lane import RunPlace
from cleanup.engine.throttle_watch import ThrottleWatch
from cleanup.log import bound

_Order = TypeVar("_Order")


class RunJob(Generic[_Order]):
    """One process's part in a run: others, on any host, may work on it as well."""

    def __init__(
        self,
        job: Job,
        database: Database,
        place: RunPlace,
        application_name: str,
        on_tick: Callable[[Connection, int], None],
        waiting: WaitingLanes,
    ) -> None:
        self._job = job
        self._database = database
        self._run_id = place.run_id
        self._on_tick = on_tick
        self._waiting = waiting
        oids = [target.leaf.oid for target in place.targets.values()]
        self._watch = ThrottleWatch(job, place.run_id, oids, application_name)

    def work(self, entry: Entry[_Order], order: _Order) -> Run:
        """Run the lanes until nothing is left; return the run as it ended, or raise why it stopped."""
        with bound(run=self._run_id), self._watch:
            niceness = self._job.config.pace.niceness
            stopped = run_lanes(entry, order, self._lanes(), self._tick, self._job.deadline, niceness, self._waiting)
        return end_run(self._database, self._run_id, stopped=stopped)

    def _tick(self) -> int:
        self._watch.require_alive()
        # Only to be shown. Whether the database is gone for good is for the lanes and the watch to say.
        self._database.glance(lambda connection: self._on_tick(connection, self._run_id))
        return self._lanes()

    def _lanes(self) -> int:
        return self._watch.pace.lanes
