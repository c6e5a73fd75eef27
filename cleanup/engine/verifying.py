"""What is left: a sweep over what was written since the plan, the log's own proof, every logged value."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Final

from cleanup.db.batches import outcome_counts
from cleanup.db.connection import SCAN_LIMITS, Connection
from cleanup.db.database import Database
from cleanup.db.findings import refused_findings
from cleanup.db.ledger import require_ledger
from cleanup.db.outcomes import Left, list_left
from cleanup.db.plans import Plan, PlanLeaf, get_plan, plan_leaves
from cleanup.db.posts import present_hashes
from cleanup.db.purges import require_findings, require_log
from cleanup.db.runs import Run, RunKind, get_run
from cleanup.db.targets import Target
from cleanup.engine.guards import is_here, leaf_oids, require_home, require_same_settings
from cleanup.engine.job import Job, describe_tables, targets_of
from cleanup.engine.lineage import is_visited
from cleanup.engine.log_chains import LogProblem, all_log_rows
from cleanup.engine.log_check import LogCheck, check_log
from cleanup.engine.sweep import APPLICATION_NAME, Extent, Sweep, Value, refusal_left, sweep_posts
from cleanup.engine.verdicts import Outcome
from cleanup.errors import RunUnfinished
from cleanup.links import MATCHER_VERSION

_LISTED: Final = 1_000_000
_HASHED_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Verification:
    """Everything that verify looked at; `run` is None where the posts alone were read again.

    `delta_is_enough` says that a plan of what was written since is all that is needed next. `awaiting_review` counts
    the links that the run's plan leaves to a person.
    """

    run: Run | None
    sweep: Sweep
    left: list[Left]
    log_problems: list[LogProblem]
    values: dict[str, int]
    delta_is_enough: bool = False
    awaiting_review: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left to do and the log is whole."""
        return not (self.sweep.unplanned or self.left or self.log_problems or self.awaiting_review)


def verify_posts(job: Job, on_rows: Callable[[int], None]) -> Verification:
    """Read every configured post again under the policy as it is now. Writes nothing."""
    database = Database(job.dsn, APPLICATION_NAME)
    try:
        sweep = sweep_posts(database, job, Extent(), on_rows)
        return Verification(None, sweep, sweep.refused, [], {})
    finally:
        database.close()


def verify_run(job: Job, run_id: int, on_rows: Callable[[int], None]) -> Verification:
    """Prove a closed run: the sweep of what was written since its plan, its log, its values. Writes nothing.

    Raises PlanStale where the config is not the plan's. Where the policy is another one by now, the run or one that
    its plan stands on ended before its time, or the database has moved, every post is read again instead.
    """
    database = Database(job.dsn, APPLICATION_NAME)
    try:
        run = database.transact(lambda connection: _closed_run(connection, run_id), read_only=True)
        plan = database.transact(lambda connection: get_plan(connection, run.plan_id), read_only=True)
        require_same_settings(plan, job, hint="give the config that the plan was made with.")
        targets = database.transact(lambda connection: _targets_of(connection, job, run), read_only=True)
        left = database.transact(lambda connection: _left(connection, run_id), read_only=True)
        sweep, delta_is_enough = Sweep(), False
        if run.kind is RunKind.APPLY:
            leaves = database.transact(lambda connection: plan_leaves(connection, plan.plan_id), read_only=True)
            left += database.transact(lambda connection: _refused(connection, plan, targets), read_only=True)
            delta_is_enough = database.transact(lambda connection: _stands(connection, job, plan), read_only=True)
            since = plan.first_xmin if delta_is_enough else None
            sweep = sweep_posts(database, job, Extent(since, leaf_oids(leaves), _known(leaves, left)), on_rows)
            left += sweep.refused
        check = database.transact(lambda connection: check_log(connection, run), SCAN_LIMITS, read_only=True)
        values = database.transact(
            lambda connection: _compare_values(connection, run_id, targets, check), SCAN_LIMITS, read_only=True
        )
        awaiting = database.transact(lambda connection: _awaiting_review(connection, run_id), read_only=True)
        return Verification(run, sweep, left, check.problems, values, delta_is_enough, awaiting)
    finally:
        database.close()


def _stands(connection: Connection, job: Job, plan: Plan) -> bool:
    """Whether all that the plan found has been visited, under the rules of today and in this database."""
    same_rules = plan.policy_digest == job.policy.digest and plan.matcher_version == MATCHER_VERSION
    return same_rules and is_here(connection, plan) and is_visited(connection, plan)


def _awaiting_review(connection: Connection, run_id: int) -> int:
    counts = outcome_counts(connection, run_id)
    return sum(line.spans for line in counts if line.outcome == Outcome.AWAITING_REVIEW.value)


def _refused(connection: Connection, plan: Plan, targets: dict[int, Target]) -> list[Left]:
    """What the plan refused and still stands as it was; where it was edited since, the sweep judges it anew."""
    found: list[Left] = []
    refused = refused_findings(connection, plan.plan_id)
    for leaf_number, group in groupby(refused, key=lambda finding: finding.leaf_number):
        target, findings = targets.get(leaf_number), list(group)
        if target is None:
            continue
        present = present_hashes(connection, target, [finding.key for finding in findings])
        found += [
            refusal_left(target, finding)
            for finding in findings
            if present.get(finding.key, {}).get(finding.column_number) == finding.value_hash
        ]
    return found


def _closed_run(connection: Connection, run_id: int) -> Run:
    require_ledger(connection)
    run = get_run(connection, run_id)
    require_home(connection, get_plan(connection, run.plan_id))
    if run.state.is_open:
        raise RunUnfinished(
            f"run {run_id} is {run.state.value}", hint="let it finish first; `cleanup status` shows it."
        )
    require_log(connection, run_id)
    if run.kind is RunKind.APPLY:
        require_findings(connection, run.plan_id)
    return run


def _targets_of(connection: Connection, job: Job, run: Run) -> dict[int, Target]:
    plan = get_plan(connection, run.plan_id)
    return targets_of(describe_tables(connection, job), plan_leaves(connection, plan.plan_id), plan.cutover)


def _left(connection: Connection, run_id: int) -> list[Left]:
    return list_left(connection, run_id, [outcome.value for outcome in Outcome if outcome.leaves_work], _LISTED)


def _known(leaves: list[PlanLeaf], left: list[Left]) -> frozenset[Value]:
    tables = {leaf.leaf_name: leaf.table_name for leaf in leaves}
    return frozenset((tables[one.leaf_name], one.column_name, one.key) for one in left)


def _compare_values(connection: Connection, run_id: int, targets: dict[int, Target], check: LogCheck) -> dict[str, int]:
    counts: Counter[str] = Counter()
    rows = all_log_rows(connection, run_id)
    while page := list(islice(rows, _HASHED_AT_ONCE)):
        # What cannot be relied on says neither where a value stands nor what it should be.
        proved = [row for row in page if check.proves(row)]
        counts["not_proved"] += len(page) - len(proved)
        for leaf_number, group in groupby(proved, key=lambda row: row.leaf_number):
            logged = list(group)
            if leaf_number not in targets:
                # Dropped or detached since, with all its rows.
                counts["row_gone"] += len(logged)
                continue
            present = present_hashes(connection, targets[leaf_number], [row.key for row in logged])
            for row in logged:
                values = present.get(row.key)
                if values is None:
                    counts["row_gone"] += 1
                elif values.get(row.column_number) == row.hash_after:
                    counts["as_written"] += 1
                else:
                    counts["changed_since"] += 1
    return dict(+counts)
