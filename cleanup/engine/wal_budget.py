"""How much WAL a run may write: a bucket that fills at the limit and is emptied by what the run writes."""

from collections import deque
from typing import Final

# How much of the limit may come at once, in seconds of it.
_BURST_SECONDS: Final = 1.0
# What the rate that is shown is an average over.
_SHOWN_SECONDS: Final = 10.0


class WalBudget:
    """The WAL of the server, as far as it was written while batches of ours were open to be written.

    What authors write meanwhile counts as ours: the job is the one to yield.
    """

    def __init__(self) -> None:
        self._last: tuple[float, int] | None = None
        self._written: deque[tuple[float, float]] = deque()
        self._left = 0.0
        self._is_full = True

    def note(self, at: float, position: int, *, working: bool, bytes_per_second: float) -> float:
        """How many seconds the next batch has to wait; 0 where there is no limit.

        `working` says whether batches could open since the last look.
        """
        last, self._last = self._last, (at, position)
        if last is None:
            return 0.0
        written = float(position - last[1]) if working else 0.0
        self._written.append((at, written))
        while self._written and self._written[0][0] < at - _SHOWN_SECONDS:
            self._written.popleft()
        if bytes_per_second <= 0:
            self._is_full = True
            return 0.0
        burst = bytes_per_second * _BURST_SECONDS
        left = burst if self._is_full else min(burst, self._left + bytes_per_second * (at - last[0]))
        self._is_full = False
        self._left = left - written
        return max(0.0, -self._left / bytes_per_second)

    @property
    def bytes_per_second(self) -> int:
        """What the run has written of late, on average."""
        return round(sum(written for _, written in self._written) / _SHOWN_SECONDS)
