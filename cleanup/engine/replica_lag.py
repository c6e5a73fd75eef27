"""How far replicas are behind, in time: by the primary's own history of WAL positions.

A replica's word on its lag is old, or missing, just when it stands still; its position never is. So the lag is the age
of the oldest position of the primary that the replica has not replayed. Where nothing is written, nobody lags.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Final

from cleanup.db.signals import ReplicaPosition

_KEPT: Final = 3_600


class WalHistory:
    """When the primary's WAL was first seen to have come so far; at most an hour of it, if looked at every second."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, float]] = deque(maxlen=_KEPT)

    def note(self, position: int, at: float) -> None:
        """The primary is there now; `at` is on a clock that never goes back."""
        if not self._seen or position > self._seen[-1][0]:
            self._seen.append((position, at))

    def lag_seconds(self, replica: ReplicaPosition, at: float) -> float:
        """How long ago the primary was first seen beyond where the replica is."""
        place = bisect_right(self._seen, replica.wal_position, key=lambda seen: seen[0])
        if place == len(self._seen):
            return 0.0
        # What lies before the first look is known from the server's own word alone.
        return max(at - self._seen[place][1], replica.reported_lag_seconds if place == 0 else 0.0)

    def slowest(self, replicas: Sequence[ReplicaPosition], at: float) -> tuple[float, ReplicaPosition] | None:
        """The replica that lags most, and by how much; None where there is none."""
        lags = [(self.lag_seconds(replica, at), replica) for replica in replicas]
        return max(lags, key=lambda lag: lag[0], default=None)
