"""The plans that a plan stands on: a delta plan is right only where what they found was visited."""

from collections.abc import Iterator
from typing import Final

from cleanup.db.connection import Connection
from cleanup.db.plans import Plan, get_plan
from cleanup.db.runs import Run, RunState, apply_run_of, get_run
from cleanup.errors import DeltaNotEnough

_STOPPED: Final = frozenset({RunState.CANCELLED, RunState.DRIFT_STOPPED})


def is_visited(connection: Connection, plan: Plan) -> bool:
    """Whether runs have visited all that the plan and the ones below it found."""
    runs = (_run_of(connection, one) for one in _lineage(connection, plan))
    return all(run is not None and run.state is RunState.FINISHED for run in runs)


def require_no_stopped_run(connection: Connection, base: Plan) -> None:
    """Raise DeltaNotEnough where a plan of what was written since this one would miss what a stopped run left."""
    for plan in _lineage(connection, base):
        run = _run_of(connection, plan)
        if run is not None and run.state in _STOPPED:
            raise DeltaNotEnough(
                f"run {run.run_id} of plan {plan.plan_id} is {run.state.value}: what it did not visit, a plan with "
                "--since does not read",
                hint="make a whole plan: cleanup plan",
            )


def _lineage(connection: Connection, plan: Plan) -> Iterator[Plan]:
    yield plan
    while plan.base_plan_id is not None:
        plan = get_plan(connection, plan.base_plan_id)
        yield plan


def _run_of(connection: Connection, plan: Plan) -> Run | None:
    run_id = apply_run_of(connection, plan.plan_id)
    return get_run(connection, run_id) if run_id is not None else None
