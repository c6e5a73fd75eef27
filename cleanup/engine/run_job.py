"""The job of a run, whatever its kind: its lanes, what is asked of them while they work, and how the run ends."""

from collections.abc import Callable
from typing import Generic, TypeVar

from cleanup.config import Throttle
from cleanup.config_pace import with_settings
from cleanup.db.connection import Connection
from cleanup.db.controls import look_at_gate
from cleanup.db.database import Database
from cleanup.db.runs import Run
from cleanup.engine.job import Job
from cleanup.engine.lanes import Entry, run_lanes
from cleanup.engine.run_end import end_run

_Order = TypeVar("_Order")


class RunJob(Generic[_Order]):
    """One process's part in a run: others, on any host, may work on it as well."""

    def __init__(self, job: Job, database: Database, run_id: int, on_tick: Callable[[Connection, int], None]) -> None:
        self._job = job
        self._database = database
        self._run_id = run_id
        self._on_tick = on_tick

    def work(self, entry: Entry[_Order], order: _Order) -> Run:
        """Run the lanes until nothing is left; return the run as it ended, or raise why it stopped."""
        stopped = run_lanes(entry, order, self._lanes(), self._tick, self._job.deadline)
        return end_run(self._database, self._run_id, stopped=stopped)

    def _tick(self) -> int:
        self._database.transact(lambda connection: self._on_tick(connection, self._run_id), read_only=True)
        return self._lanes()

    def _lanes(self) -> int:
        control = self._database.transact(lambda one: look_at_gate(one, self._run_id), read_only=True).control
        pace, _ = with_settings(self._job.config.pace, Throttle(), control.settings)
        return pace.lanes
