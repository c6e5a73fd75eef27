"""How many findings a batch takes: measured, so that its locks are held about as long as the target says."""

from typing import Final

# The first batch is small: nothing is known yet of how long this table's rows take, and doubling soon makes up for it.
_FIRST_FINDINGS: Final = 10
# A batch may at most double, so that one quick batch does not make the next one far too long.
_GROWTH: Final = 2.0
# Aiming below the target leaves room for the noise of a busy server.
_AIM: Final = 0.8


class BatchSize:
    """The number of findings of the next batch, led by the last one's time."""

    def __init__(self, lock_target_ms: int, largest: int) -> None:
        self._target_ms = lock_target_ms
        self._largest = largest
        self._findings = float(min(_FIRST_FINDINGS, largest))

    @property
    def findings(self) -> int:
        """How many findings to take next."""
        return max(1, min(self._largest, int(self._findings)))

    def measured(self, findings: int, elapsed_ms: float) -> None:
        """A batch of so many findings held its locks for so long."""
        fitting = findings * self._target_ms * _AIM / max(elapsed_ms, 1.0)
        self._findings = max(1.0, min(fitting, self._findings * _GROWTH, float(self._largest)))

    def failed(self) -> None:
        """A batch had to be tried again: the next one is half as large."""
        self._findings = max(1.0, self._findings / 2)
