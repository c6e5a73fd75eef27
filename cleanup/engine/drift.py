"""How far the posts have moved from the plan: sampled before the first write, watched during the run."""

from dataclasses import dataclass
from itertools import groupby
from typing import Final

from cleanup.config import Approval
from cleanup.db.batches import run_totals
from cleanup.db.chunks import actionable_findings
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.findings import Finding, sample_of_findings
from cleanup.db.posts import present_hashes
from cleanup.db.targets import Target
from cleanup.errors import DriftTooHigh

# Below this many visited rows a share says little.
_JUDGED_AFTER: Final = 1_000
# How often a lane looks: the sum over a long run's batches costs something, and its share changes slowly.
_JUDGED_EVERY: Final = 100
_JUDGED_AGAIN_AFTER: Final = 1 / 20


@dataclass(frozen=True, slots=True)
class DriftSample:
    """How many of the sampled values are not as they were planned."""

    moved: int
    sampled: int


def require_little_drift(
    connection: Connection, plan_id: int, targets: dict[int, Target], limits: Approval
) -> DriftSample:
    """Compare a fixed sample of the planned values with what stands there now; raise DriftTooHigh beyond the limit."""
    total = actionable_findings(connection, plan_id)
    every = max(1, total // limits.drift_sample)
    sample = sample_of_findings(connection, plan_id, every, limits.drift_sample)
    moved = sum(
        _moved(connection, targets[leaf_number], list(findings))
        for leaf_number, findings in groupby(sample, key=lambda finding: finding.leaf_number)
    )
    if len(sample) >= min(_JUDGED_AFTER, limits.drift_sample) and moved > limits.max_drift * len(sample):
        raise DriftTooHigh(
            f"{moved} of {len(sample)} sampled posts were edited or deleted since plan {plan_id}; "
            f"the limit is {limits.max_drift:.1%}",
            hint="nothing was written: make a new plan and have it approved.",
        )
    return DriftSample(moved, len(sample))


class DriftWatch:
    """Judges a run's drift from within a lane, each time the lane has visited a twentieth more.

    Counted in findings, not in seconds: a fast run must not get further than a slow one before it is stopped.
    """

    def __init__(self, database: Database, run_id: int, max_drift: float) -> None:
        self._database = database
        self._run_id = run_id
        self._max_drift = max_drift
        self._visited = 0
        self._judge_at = _JUDGED_EVERY

    def before_batch(self, findings: int) -> None:
        """Note that so many findings are visited next; raise DriftTooHigh where the run is to stop before them."""
        if self._visited >= self._judge_at:
            visited = self._database.transact(self._judge, read_only=True)
            self._judge_at = self._visited + max(_JUDGED_EVERY, int(visited * _JUDGED_AGAIN_AFTER))
        self._visited += findings

    def _judge(self, connection: Connection) -> int:
        totals = run_totals(connection, self._run_id)
        if totals.findings >= _JUDGED_AFTER and totals.edited > self._max_drift * totals.findings:
            raise DriftTooHigh(
                f"{totals.edited} of {totals.findings} visited posts of run {self._run_id} were edited since the "
                f"plan; the limit is {self._max_drift:.1%}",
                hint="the run has ended where it stood, and every batch is complete: make a new plan for the rest.",
            )
        return totals.findings


def _moved(connection: Connection, target: Target, findings: list[Finding]) -> int:
    present = present_hashes(connection, target, [finding.key for finding in findings])
    return sum(present.get(finding.key, {}).get(finding.column_number) != finding.value_hash for finding in findings)
