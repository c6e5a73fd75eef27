"""What a rollback undoes: a closed run, the part of its log that was asked for, and its tables as they are now."""

from collections.abc import Sequence
from dataclasses import dataclass

from cleanup.db.catalog import fingerprint
from cleanup.db.change_log import LogRow, deferred_log, later_log, selected_log
from cleanup.db.connection import Connection
from cleanup.db.plans import Plan, get_plan, plan_columns, plan_leaves, words_of_runs
from cleanup.db.purges import require_log
from cleanup.db.run_chunks import RunChunk
from cleanup.db.runs import Run, get_run, runs_of
from cleanup.db.selection import Selection
from cleanup.db.tables import Fingerprint, Table
from cleanup.db.targets import Target
from cleanup.engine.digest import rollback_digest
from cleanup.engine.guards import require_home
from cleanup.engine.job import Job, describe_tables, targets_of
from cleanup.engine.rollback_judge import RollbackJudge
from cleanup.errors import PlanStale, RunUnfinished, UsageInvalid
from cleanup.links.words import Words


@dataclass(frozen=True, slots=True)
class Source:
    """A closed run, which part of it is undone, and where its values stand today."""

    run: Run
    plan: Plan
    selection: Selection
    targets: dict[int, Target]
    fingerprints: dict[int, Fingerprint]

    @property
    def digest(self) -> bytes:
        """What the approval of this rollback names."""
        return rollback_digest(self.plan.database_identity, self.run, self.selection.stored())


def open_source(connection: Connection, job: Job, run_id: int, selection: Selection) -> Source:
    """Look the run up; raise RunUnfinished while it is open, LogPurged, PlanStale where its tables are not there."""
    run = get_run(connection, run_id)
    plan = get_plan(connection, run.plan_id)
    require_home(connection, plan)
    if run.state.is_open:
        raise RunUnfinished(
            f"run {run_id} is {run.state.value}",
            hint="let it finish first (the same command goes on with it), or cancel it.",
        )
    require_log(connection, run_id)
    _require_names(connection, job, plan, selection)
    targets, fingerprints = _present_tables(connection, plan, describe_tables(connection, job))
    return Source(run, plan, selection, targets, fingerprints)


@dataclass(frozen=True, slots=True)
class SourceLog:
    """The items of a rollback: the selected part of the source run's log, then what earlier passes deferred."""

    source_run_id: int
    plan_id: int
    words: Words
    selection: Selection
    run_id: int | None = None

    def page(self, connection: Connection, chunk: RunChunk, after_number: int, items: int) -> list[LogRow]:
        """The next log rows of a chunk's pass."""
        if chunk.run_pass == 0:
            return selected_log(
                connection, self.source_run_id, self.selection, after_number, chunk.through_number, items
            )
        assert self.run_id is not None
        return deferred_log(
            connection, self.run_id, self.source_run_id, chunk.run_pass, after_number, chunk.through_number, items
        )

    def judge_for(self, connection: Connection, target: Target, items: Sequence[LogRow]) -> RollbackJudge:
        """The judge of these rows, with what runs of ours did to their values since."""
        later = later_log(connection, items)
        words, family = {self.source_run_id: self.words}, frozenset[int]()
        if later:
            family = runs_of(connection, self.plan_id)
            words |= dict.fromkeys(family, self.words)
            if others := {row.run_id for rows in later.values() for row in rows} - family:
                words |= {run_id: Words(said) for run_id, said in words_of_runs(connection, others).items()}
        return RollbackJudge(target.table.columns, self.selection, later, family, words)


def _require_names(connection: Connection, job: Job, plan: Plan, selection: Selection) -> None:
    """A name that is mistyped selects nothing, which looks like nothing to do."""
    known = (
        ("table", selection.tables, {leaf.table_name for leaf in plan_leaves(connection, plan.plan_id)}),
        ("platform", selection.platforms, {rule.platform for rule in job.policy.rules}),
        ("kind", selection.kinds, {rule.kind for rule in job.policy.rules}),
    )
    for what, names, allowed in known:
        for name in names:
            if name not in allowed:
                raise UsageInvalid(
                    f"there is no {what} {name!r} in plan {plan.plan_id}", hint=f"it has: {', '.join(sorted(allowed))}."
                )


def _present_tables(
    connection: Connection, plan: Plan, tables: list[Table]
) -> tuple[dict[int, Target], dict[int, Fingerprint]]:
    # Weeks may have passed: the schema may differ from the plan's, but must not change under the rollback.
    leaves = plan_leaves(connection, plan.plan_id)
    targets = targets_of(tables, leaves, plan.cutover)
    fingerprints: dict[int, Fingerprint] = {}
    for leaf in leaves:
        target = targets.get(leaf.leaf_number)
        content = fingerprint(connection, target.leaf, target.table.key_names()) if target else None
        if content is None:
            raise PlanStale(
                f"{leaf.leaf_name}, which plan {plan.plan_id} scanned, is not there or not configured any more",
                hint="put it back, or give the config that the plan was made with.",
            )
        fingerprints[leaf.leaf_number] = content
    _require_columns(connection, plan, targets)
    return targets, fingerprints


def _require_columns(connection: Connection, plan: Plan, targets: dict[int, Target]) -> None:
    present = {
        (target.table.name, column.number): column.name
        for target in targets.values()
        for column in target.table.columns
    }
    for column in plan_columns(connection, plan.plan_id):
        found = present.get((column.table_name, column.column_number))
        if found != column.column_name:
            raise PlanStale(
                f"column {column.column_number + 1} of {column.table_name} was {column.column_name!r} in plan "
                f"{plan.plan_id} and is {found!r} in the config",
                hint="give the config that the plan was made with.",
            )
