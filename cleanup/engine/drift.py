"""How far the posts have moved from the plan: sampled before the first write, watched during the run."""

from itertools import groupby
from typing import Final

from cleanup.config import Approval
from cleanup.db.batches import run_totals
from cleanup.db.chunks import actionable_findings
from cleanup.db.connection import Connection
from cleanup.db.findings import Finding, sample_of_findings
from cleanup.db.posts import present_hashes
from cleanup.db.targets import Target
from cleanup.errors import DriftTooHigh

# Below this many visited rows a share says little.
_JUDGED_AFTER: Final = 1_000


def require_little_drift(connection: Connection, plan_id: int, targets: dict[int, Target], limits: Approval) -> None:
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


def stop_on_drift(connection: Connection, run_id: int, max_drift: float) -> None:
    """Raise DriftTooHigh where more of the visited rows were edited since the plan than is allowed."""
    totals = run_totals(connection, run_id)
    if totals.findings >= _JUDGED_AFTER and totals.edited > max_drift * totals.findings:
        raise DriftTooHigh(
            f"{totals.edited} of {totals.findings} visited posts of run {run_id} were edited since the plan; "
            f"the limit is {max_drift:.1%}",
            hint="the run has ended where it stood, and every batch is complete: make a new plan for the rest.",
        )


def _moved(connection: Connection, target: Target, findings: list[Finding]) -> int:
    present = present_hashes(connection, target, [finding.key for finding in findings])
    return sum(present.get(finding.key, {}).get(finding.column_number) != finding.value_hash for finding in findings)
