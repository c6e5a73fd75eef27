"""What a look at work in progress says of a run or a plan: how far, how fast, until when, and what holds it."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Final

from cleanup.db.batches import OutcomeCount, outcome_counts
from cleanup.db.chunks import refused_values
from cleanup.db.connection import Connection
from cleanup.db.controls import SettingInPlace, Wish, look_at_gate, settings_in_place
from cleanup.db.plans import PlanState
from cleanup.db.progress import LaneWork, PlanWork, RunWork, plan_lanes, plan_work, run_lanes, run_work
from cleanup.db.runs import RunKind, RunState
from cleanup.db.throttles import Health, SignalState, ThrottleState, read_throttle_state
from cleanup.engine.verdicts import Outcome
from cleanup.vocabulary import ExitStatus, Signal

# As long as `cleanup.may_write` believes a word.
_WORD_SECONDS: Final = 15.0
# A rate over less than this would jump with every batch.
_LEAST_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class SignalLook:
    """One signal as the job that watches the run saw it last; `source` is where the value comes from, or why none."""

    signal: Signal
    health: Health
    value: float | None
    limit: float
    unit: str
    source: str
    age_seconds: float
    health_seconds: float
    alerted: bool


class Standing(Enum):
    """Whether work goes on, and if not, who is to do something."""

    WORKING = "working"
    WAITING = "waiting"
    PAUSED = "paused"
    DESERTED = "deserted"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RunLook:
    """One look at a run. `why` says why it does not write, where it does not.

    `rate` is findings a second over the last half minute; it and `seconds_left` are None where nothing was written.
    `word_age_seconds` is how long ago a job said that it watches the run's signals.
    """

    run_id: int
    kind: RunKind
    plan_id: int
    state: RunState
    standing: Standing
    why: str | None
    planned_findings: int
    settled_findings: int
    rate: float | None
    seconds_left: int | None
    outcomes: tuple[OutcomeCount, ...]
    refused_by_plan: int
    batches: int
    log_rows: int
    edited_since_plan: int
    visited_findings: int
    lock_seconds: float
    last_batch_at: datetime | None
    lanes: tuple[LaneWork, ...]
    signals: tuple[SignalLook, ...]
    settings: tuple[SettingInPlace, ...]
    wal_bytes_per_second: int | None
    word_age_seconds: float | None
    started_at: datetime
    finished_at: datetime | None
    cutover: datetime
    at: datetime

    @property
    def share(self) -> float:
        """The settled part of what was planned."""
        return self.settled_findings / self.planned_findings if self.planned_findings else 1.0

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be watched any more: it ended, or its last job was stopped."""
        return self.state is not RunState.RUNNING

    @property
    def exit_status(self) -> ExitStatus:
        """What somebody who waited for its end is told."""
        if self.state is RunState.INTERRUPTED:
            return ExitStatus.INTERRUPTED
        if self.state is not RunState.FINISHED or self.leaves_work:
            return ExitStatus.LEFT_OR_REFUSED
        return ExitStatus.DONE

    @property
    def leaves_work(self) -> bool:
        """Whether somebody has to look."""
        return self.refused_by_plan > 0 or any(
            Outcome(line.outcome).leaves_work and (line.findings or line.spans) for line in self.outcomes
        )


@dataclass(frozen=True, slots=True)
class PlanLook:
    """One look at a plan; `rate` is rows a second over the last half minute."""

    plan_id: int
    state: PlanState
    standing: Standing
    why: str | None
    row_estimate: int
    rows_read: int
    rate: float | None
    seconds_left: int | None
    chunks: int
    findings: int
    actionable_findings: int
    last_chunk_at: datetime | None
    lanes: tuple[LaneWork, ...]
    started_at: datetime
    finished_at: datetime | None
    cutover: datetime
    at: datetime

    @property
    def share(self) -> float:
        """The part of the rows that were read; an estimate that was too low is none."""
        if self.state is PlanState.FINISHED:
            return 1.0
        return min(self.rows_read / self.row_estimate, 0.99) if self.row_estimate else 0.0

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be watched any more."""
        return self.state is not PlanState.SCANNING

    @property
    def exit_status(self) -> ExitStatus:
        """What somebody who waited for its end is told."""
        return ExitStatus.DONE if self.state is PlanState.FINISHED else ExitStatus.LEFT_OR_REFUSED


Look = RunLook | PlanLook


def look_at_run(connection: Connection, run_id: int) -> RunLook:
    """One look at a run; raises RunUnknown."""
    work = run_work(connection, run_id)
    outcomes = tuple(outcome_counts(connection, run_id))
    settled = sum(line.findings for line in outcomes)
    throttle = read_throttle_state(connection, run_id)
    rate = _rate(work.recent_visited, work.recent_seconds)
    look = RunLook(
        run_id=work.run_id,
        kind=work.kind,
        plan_id=work.plan_id,
        state=work.state,
        standing=Standing.WORKING,
        why=None,
        planned_findings=work.planned,
        settled_findings=settled,
        rate=rate,
        seconds_left=_seconds_left(work.planned - settled, rate),
        outcomes=outcomes,
        refused_by_plan=refused_values(connection, work.plan_id) if work.kind is RunKind.APPLY else 0,
        batches=work.batches,
        log_rows=work.log_rows,
        edited_since_plan=work.edited,
        visited_findings=work.visited,
        lock_seconds=work.lock_seconds,
        last_batch_at=work.last_written_at,
        lanes=run_lanes(connection, run_id),
        signals=_signals(throttle, work.now),
        settings=settings_in_place(connection, run_id),
        wal_bytes_per_second=throttle.wal_bytes_per_second if throttle is not None else None,
        word_age_seconds=throttle.age_seconds if throttle is not None else None,
        started_at=work.created_at,
        finished_at=work.finished_at,
        cutover=work.cutover,
        at=work.now,
    )
    standing, why = _standing(connection, work, throttle)
    return replace(look, standing=standing, why=why)


def look_at_plan(connection: Connection, plan_id: int) -> PlanLook:
    """One look at a plan; raises PlanUnknown."""
    work = plan_work(connection, plan_id)
    lanes = plan_lanes(connection, plan_id)
    rate = _rate(work.recent_rows, work.recent_seconds)
    is_deserted = work.state is PlanState.SCANNING and not lanes
    return PlanLook(
        plan_id=work.plan_id,
        state=work.state,
        standing=_plan_standing(work, lanes),
        why="no lane works on it: give the same command again" if is_deserted else None,
        row_estimate=work.row_estimate,
        rows_read=work.rows_read,
        rate=rate,
        seconds_left=_seconds_left(work.row_estimate - work.rows_read, rate),
        chunks=work.chunks,
        findings=work.findings,
        actionable_findings=work.actionable,
        last_chunk_at=work.last_finished_at,
        lanes=lanes,
        started_at=work.started_at,
        finished_at=work.finished_at,
        cutover=work.cutover,
        at=work.now,
    )


def _plan_standing(work: PlanWork, lanes: tuple[LaneWork, ...]) -> Standing:
    if work.state is not PlanState.SCANNING:
        return Standing.ENDED
    return Standing.WORKING if lanes else Standing.DESERTED


def _standing(connection: Connection, work: RunWork, throttle: ThrottleState | None) -> tuple[Standing, str | None]:
    if work.state is not RunState.RUNNING:
        return Standing.ENDED, None
    control = look_at_gate(connection, work.run_id).control
    said = f" by {control.asked_by}" + (f": {control.reason}" if control.reason else "")
    if control.wish is Wish.CANCEL:
        return Standing.PAUSED, f"cancelled{said}"
    if throttle is None or throttle.age_seconds > _WORD_SECONDS:
        # kill -9 leaves a run that says it is running.
        return Standing.DESERTED, "no job watches it: give the same command again"
    if control.wish is Wish.PAUSE:
        return Standing.PAUSED, f"paused{said}"
    if throttle.reason is not None:
        return Standing.WAITING, throttle.reason
    return Standing.WORKING, None


def _signals(throttle: ThrottleState | None, now: datetime) -> tuple[SignalLook, ...]:
    return () if throttle is None else tuple(_signal(state, now) for state in throttle.signals)


def _signal(state: SignalState, now: datetime) -> SignalLook:
    return SignalLook(
        state.signal,
        state.health,
        state.value,
        state.limit,
        state.unit,
        state.detail,
        max(0.0, (now - state.read_at).total_seconds()),
        max(0.0, (now - state.since).total_seconds()),
        state.alerted,
    )


def _rate(done: int, seconds: float | None) -> float | None:
    return done / max(seconds, _LEAST_SECONDS) if done and seconds is not None else None


def _seconds_left(left: int, rate: float | None) -> int | None:
    return None if rate is None or left < 0 else round(left / rate)
