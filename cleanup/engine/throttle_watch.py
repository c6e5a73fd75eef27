"""The watch over a run's signals beside its lanes: a thread of the job, so that nothing that the job does delays it."""

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from cleanup.config import Pace
from cleanup.engine.job import Job
from cleanup.engine.lanes import internal_error
from cleanup.engine.throttle_lookout import EVERY_SECONDS, WAL_EVERY_SECONDS, Lookout
from cleanup.errors import CleanupError
from cleanup.log import bound

# A replica or a command that does not answer is not waited for at the end.
_JOIN_SECONDS: Final = 5.0


class ThrottleWatch:
    """Within `with`, the run's word on its signals is fresh; without it no batch opens."""

    def __init__(self, job: Job, run_id: int, oids: Sequence[int], application_name: str) -> None:
        name = f"{application_name} run {run_id} throttle"
        self._run_id = run_id
        self._end = threading.Event()
        self._lookout = Lookout(job, run_id, oids, name, self._end.wait)
        self._failure: CleanupError | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def pace(self) -> Pace:
        """The config's, with what `set` has put in its place by the last look."""
        return self._lookout.pace

    def __enter__(self) -> Self:
        """Look once, so that lanes find a word, and go on looking."""
        try:
            self._lookout.look()
        except BaseException:
            self._lookout.close()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop looking."""
        self._end.set()
        self._thread.join(_JOIN_SECONDS)
        if not self._thread.is_alive():
            self._lookout.close()

    def require_alive(self) -> None:
        """Raise what ended the watch, if anything has: without a fresh word, lanes would wait for ever."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with bound(run=self._run_id):
                self._look_on()
        except CleanupError as error:
            self._failure = error
        except Exception as error:
            self._failure = internal_error(error)

    def _look_on(self) -> None:
        while not self._end.wait(WAL_EVERY_SECONDS if self.pace.wal_mib_per_second else EVERY_SECONDS):
            self._lookout.look()
