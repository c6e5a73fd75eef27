"""What is left: a sweep over what was written since the plan, the log's own proof, every logged value."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice
from typing import Final

from cleanup.db.connection import SCAN_LIMITS, Connection
from cleanup.db.copy_rows import copy_blocks
from cleanup.db.database import Database
from cleanup.db.findings import Finding, refused_findings
from cleanup.db.ledger import require_ledger
from cleanup.db.outcomes import Left, list_left
from cleanup.db.plans import Plan, PlanLeaf, get_plan, plan_leaves
from cleanup.db.posts import present_hashes
from cleanup.db.runs import Run, RunKind, RunState, get_run
from cleanup.db.targets import KeyRange, Target
from cleanup.engine.guards import leaf_oids, require_here, require_same_settings
from cleanup.engine.job import Job, describe_tables, leaves_of, resolver, targets_of
from cleanup.engine.log_check import LogProblem, all_log_rows, check_log
from cleanup.engine.matching import Matcher
from cleanup.engine.scan import Scanner
from cleanup.engine.scan_counts import ScanCounts
from cleanup.engine.spans import value_id
from cleanup.engine.verdicts import Outcome
from cleanup.errors import RunUnfinished
from cleanup.links import MATCHER_VERSION
from cleanup.links.prefilter import Prefilter

APPLICATION_NAME: Final = "cleanup verify"

_SHOWN: Final = 20
_LISTED: Final = 1_000_000
_HASHED_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Place:
    """A value that still holds a link in scope."""

    leaf_name: str
    column_name: str
    key: tuple[str, ...]


@dataclass(slots=True)
class Sweep:
    """What a reading of the posts found: values with links in scope that no outcome of the run accounts for.

    `refused` are those that no run could change: too long for their column, or unreadable in their format.
    """

    rows_read: int = 0
    unplanned: int = 0
    known: int = 0
    examples: list[Place] = field(default_factory=list)
    refused: list[Left] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verification:
    """Everything that verify looked at; `run` is None where the posts alone were read again."""

    run: Run | None
    sweep: Sweep
    left: list[Left]
    log_problems: list[LogProblem]
    values: dict[str, int]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left to do and the log is whole."""
        return not (self.sweep.unplanned or self.left or self.log_problems)


def verify_posts(job: Job) -> Verification:
    """Read every configured post again under the policy as it is now. Writes nothing."""
    database = Database(job.dsn, APPLICATION_NAME)
    # A look-up needs a connection of its own, while the first one streams.
    maps = Database(job.dsn, APPLICATION_NAME)
    try:
        sweep = _sweep(database, job, _reader(job, maps, None, frozenset(), frozenset()))
        return Verification(None, sweep, sweep.refused, [], {})
    finally:
        database.close()
        maps.close()


def verify_run(job: Job, run_id: int) -> Verification:
    """Prove a closed run: the sweep of what was written since its plan, its log, its values. Writes nothing.

    Raises PlanStale where the config is not the plan's. Where the policy is another one by now, or the run
    ended before its time, every post is read again instead.
    """
    database = Database(job.dsn, APPLICATION_NAME)
    # A look-up needs a connection of its own, while the first one streams.
    maps = Database(job.dsn, APPLICATION_NAME)
    try:
        run = database.transact(lambda connection: _closed_run(connection, run_id), read_only=True)
        plan = database.transact(lambda connection: get_plan(connection, run.plan_id), read_only=True)
        require_same_settings(plan, job, hint="give the config that the plan was made with.")
        targets = database.transact(lambda connection: _targets_of(connection, job, run), read_only=True)
        left = database.transact(lambda connection: _left(connection, run_id), read_only=True)
        sweep = Sweep()
        if run.kind is RunKind.APPLY:
            leaves = database.transact(lambda connection: plan_leaves(connection, plan.plan_id), read_only=True)
            left += database.transact(lambda connection: _refused(connection, plan, targets), read_only=True)
            since = plan.first_xmin if _sweep_is_enough(job, plan, run) else None
            sweep = _sweep(database, job, _reader(job, maps, since, leaf_oids(leaves), _known(leaves, left)))
            left += sweep.refused
        problems = database.transact(lambda connection: check_log(connection, run), SCAN_LIMITS, read_only=True)
        values = database.transact(
            lambda connection: _compare_values(connection, run_id, targets), SCAN_LIMITS, read_only=True
        )
        return Verification(run, sweep, left, problems, values)
    finally:
        database.close()
        maps.close()


def _sweep_is_enough(job: Job, plan: Plan, run: Run) -> bool:
    # A run that was stopped has not visited every finding; another policy may want what the plan's did not.
    same_rules = plan.policy_digest == job.policy.digest and plan.matcher_version == MATCHER_VERSION
    return same_rules and run.state is RunState.FINISHED


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
            _refusal(target, finding)
            for finding in findings
            if present.get(finding.key, {}).get(finding.column_number) == finding.value_hash
        ]
    return found


def _refusal(target: Target, finding: Finding) -> Left:
    names = {column.number: column.name for column in target.table.columns}
    assert finding.refusal is not None
    return Left(
        finding.finding_number,
        finding.refusal,
        None,
        target.leaf.full_name,
        names[finding.column_number],
        list(finding.key),
    )


def _closed_run(connection: Connection, run_id: int) -> Run:
    require_ledger(connection)
    run = get_run(connection, run_id)
    require_here(connection, get_plan(connection, run.plan_id))
    if run.state.is_open:
        raise RunUnfinished(
            f"run {run_id} is {run.state.value}", hint="let it finish first; `cleanup status` shows it."
        )
    return run


def _targets_now(connection: Connection, job: Job) -> dict[int, Target]:
    tables = describe_tables(connection, job)
    return targets_of(tables, [leaf for _, leaf in leaves_of(connection, tables)], job.policy.cutover)


def _targets_of(connection: Connection, job: Job, run: Run) -> dict[int, Target]:
    plan = get_plan(connection, run.plan_id)
    return targets_of(describe_tables(connection, job), plan_leaves(connection, plan.plan_id), plan.cutover)


def _left(connection: Connection, run_id: int) -> list[Left]:
    return list_left(connection, run_id, [outcome.value for outcome in Outcome if outcome.leaves_work], _LISTED)


def _known(leaves: list[PlanLeaf], left: list[Left]) -> frozenset[int]:
    tables = {leaf.leaf_name: leaf.table_name for leaf in leaves}
    return frozenset(value_id(tables[one.leaf_name], one.column_name, one.key) for one in left)


def _reader(
    job: Job, maps: Database, since_xmin: str | None, planned: frozenset[int], known: frozenset[int]
) -> "_Reader":
    prefilter = Prefilter.compile(job.policy, job.formats(), job.pattern_cache)
    return _Reader(Matcher(job.policy, resolver(job, maps)), prefilter, since_xmin, planned, known)


@dataclass(frozen=True, slots=True)
class _Reader:
    """What a sweep reads with; `since_xmin` limits planned leaves, any other leaf is read whole."""

    matcher: Matcher
    prefilter: Prefilter
    since_xmin: str | None
    planned_leaves: frozenset[int]
    known: frozenset[int]

    def read(self, connection: Connection, leaves: list[Target]) -> Sweep:
        # One snapshot for all leaves of a table: a row that moves between them is seen in exactly one.
        sweep = Sweep()
        for target in leaves:
            since = self.since_xmin if target.leaf.oid in self.planned_leaves else None
            counts = ScanCounts()
            blocks = copy_blocks(connection, target.scan(KeyRange(), since))
            for findings in Scanner(self.matcher, self.prefilter, target).pieces(blocks, counts):
                _note(sweep, target, findings, self.known)
            sweep.rows_read += counts.rows
        return sweep


def _sweep(database: Database, job: Job, reader: _Reader) -> Sweep:
    targets = database.transact(lambda connection: _targets_now(connection, job), read_only=True)
    total = Sweep()
    for _, leaves in groupby(targets.values(), key=lambda target: target.table.name):
        part = database.transact(
            partial(reader.read, leaves=list(leaves)), SCAN_LIMITS, read_only=True, one_snapshot=True
        )
        total.rows_read += part.rows_read
        total.unplanned += part.unplanned
        total.known += part.known
        total.refused += part.refused
        total.examples += part.examples[: _SHOWN - len(total.examples)]
    return total


def _note(sweep: Sweep, target: Target, findings: list[Finding], known: frozenset[int]) -> None:
    names = {column.number: column.name for column in target.table.columns}
    for finding in findings:
        if not finding.actionable and finding.refusal is None:
            continue
        column = names[finding.column_number]
        if value_id(target.table.name, column, finding.key) in known:
            sweep.known += 1
            continue
        if finding.refusal is not None:
            sweep.refused.append(_refusal(target, finding))
            continue
        sweep.unplanned += 1
        if len(sweep.examples) < _SHOWN:
            sweep.examples.append(Place(target.leaf.full_name, column, finding.key))


def _compare_values(connection: Connection, run_id: int, targets: dict[int, Target]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    rows = all_log_rows(connection, run_id)
    while page := list(islice(rows, _HASHED_AT_ONCE)):
        for leaf_number, group in groupby(page, key=lambda row: row.leaf_number):
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
    return dict(counts)
