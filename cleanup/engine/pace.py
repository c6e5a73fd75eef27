"""How many findings a batch takes, led by how long it holds its locks; its limits, and the rest after it."""

from typing import Final

from cleanup.config import Pace
from cleanup.db.connection import Limits
from cleanup.engine.lanes import RENEW_AFTER

# The first batch is small: nothing is known yet of how long this table's rows take, and doubling soon makes up for it.
_FIRST_FINDINGS: Final = 10
# A batch may at most double, so that one quick batch does not make the next one far too long.
_GROWTH: Final = 2.0
# What a finding costs is believed to fall only slowly: a quiet moment must not lead to a batch that is too long.
_FALL: Final = 0.8
# Aiming well below the target leaves room for the noise of a busy server: the target is a promise to authors, and
# half as many rows a commit cost little.
_AIM: Final = 0.5
# A lane needs some time to decide even the smallest batch: however low the target, less would throw it out always.
_SHORTEST_IDLE_MS: Final = 100


class BatchSize:
    """The number of findings of the next batch, led by the time of the last ones."""

    def __init__(self, lock_target_ms: int, largest: int) -> None:
        self.aim(lock_target_ms, largest)
        self._findings = float(min(_FIRST_FINDINGS, largest))
        self._cost_ms = 0.0

    def aim(self, lock_target_ms: int, largest: int) -> None:
        """Head for another target from the next batch on; what is known of the cost of rows stays."""
        self._target_ms = lock_target_ms
        self._largest = largest

    @property
    def findings(self) -> int:
        """How many findings to take next."""
        return max(1, min(self._largest, int(self._findings)))

    def measured(self, findings: int, elapsed_ms: float) -> None:
        """A batch of so many findings held its locks for so long; both are more than nothing."""
        self._cost_ms = max(elapsed_ms / findings, self._cost_ms * _FALL)
        fitting = self._target_ms * _AIM / self._cost_ms
        self._findings = max(1.0, min(fitting, self._findings * _GROWTH, float(self._largest)))

    def failed(self) -> None:
        """A batch had to be tried again: the next one is half as large."""
        self._findings = max(1.0, self._findings / 2)


def rest_seconds(pace: Pace, elapsed_ms: float) -> float:
    """How long a lane rests after a batch that took so long: never until its lease is over."""
    return min(elapsed_ms / 1000 * pace.rest_percent / 100, pace.lease_seconds * RENEW_AFTER)


def batch_limits(pace: Pace) -> Limits:
    """What one batch's transaction may take."""
    target_ms = pace.lock_target_ms
    return Limits(
        lock_timeout_ms=pace.lock_timeout_ms,
        statement_timeout_ms=max(10 * target_ms, 2_000),
        # A lane that stalls is thrown out by the server, so that authors need not wait for it.
        idle_timeout_ms=max(2 * target_ms, _SHORTEST_IDLE_MS),
        transaction_timeout_ms=max(20 * target_ms, 4_000),
    )
