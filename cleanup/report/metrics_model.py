"""What a job tells a monitoring system of itself: every number is the ledger's, so that several jobs agree."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from cleanup.config import JobConfig
from cleanup.config_pace import with_settings
from cleanup.db.connection import Connection
from cleanup.db.controls import look_at_gate
from cleanup.db.progress import lock_times, retries
from cleanup.report.progress_model import PlanLook, RunLook, look_at_plan, look_at_run

# Around the lock target of 250 ms, which is the default.
LOCK_BOUNDS_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.175, 0.25, 0.35, 0.5, 1.0, 2.5)


class Kind(Enum):
    """How a metric moves."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class MetricEntry:
    """One metric: its name, what it says, and what its labels tell apart."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ("run", "kind")
    kind: Kind = Kind.GAUGE


_PLAN: Final = ("plan",)
_SIGNAL: Final = ("run", "signal", "unit")


class Metric(Enum):
    """Every metric; counters have their `_total`, as Prometheus shows them."""

    BUILD = MetricEntry("cleanup_build_info", "The version that runs; always 1.", ("version",))
    LOOK_AT = MetricEntry(
        "cleanup_look_timestamp_seconds", "The server's clock when the ledger was read for these numbers.", ()
    )
    CUTOVER_AT = MetricEntry("cleanup_cutover_timestamp_seconds", "When the policy takes effect.", _PLAN)
    CUTOVER_IN = MetricEntry(
        "cleanup_cutover_seconds", "Time to the cutover by the server's clock; negative behind it.", _PLAN
    )
    RUN_STATE = MetricEntry(
        "cleanup_run_state", "1 for the state that the run is in.", ("run", "kind", "plan", "state")
    )
    RUN_STANDING = MetricEntry(
        "cleanup_run_standing",
        "1 for whether it works, waits, is paused, deserted or ended.",
        ("run", "kind", "standing"),
    )
    RUN_PLANNED = MetricEntry("cleanup_run_planned_findings", "Findings that the run is to settle.")
    RUN_SETTLED = MetricEntry(
        "cleanup_run_settled_findings_total",
        "Findings that have their outcome.",
        ("run", "kind", "outcome"),
        Kind.COUNTER,
    )
    RUN_LINKS = MetricEntry(
        "cleanup_run_settled_links_total", "Links that have their outcome.", ("run", "kind", "outcome"), Kind.COUNTER
    )
    RUN_REFUSED = MetricEntry(
        "cleanup_run_refused_by_plan_findings", "Values that the plan found and no run can change."
    )
    RUN_PROGRESS = MetricEntry("cleanup_run_progress_ratio", "Settled of planned, from 0 to 1.")
    RUN_TIME_LEFT = MetricEntry(
        "cleanup_run_time_left_seconds", "At the rate of the last half minute; absent while nothing is written."
    )
    RUN_BATCHES = MetricEntry("cleanup_run_batches_total", "Batches that are committed.", kind=Kind.COUNTER)
    RUN_LOCKS = MetricEntry(
        "cleanup_run_batch_lock_seconds", "How long batches held their row locks.", kind=Kind.HISTOGRAM
    )
    RUN_RETRIES = MetricEntry(
        "cleanup_run_batch_retries_total",
        "How often batches that are committed had been tried before, by cause.",
        ("run", "kind", "cause"),
        Kind.COUNTER,
    )
    RUN_LOG_ROWS = MetricEntry("cleanup_run_log_rows_total", "Rows of the change log.", kind=Kind.COUNTER)
    RUN_LAST_BATCH = MetricEntry("cleanup_run_last_batch_timestamp_seconds", "When the newest batch began.")
    RUN_DRIFT = MetricEntry(
        "cleanup_run_drift_ratio", "The part of the visited findings whose post was edited since the plan."
    )
    RUN_DRIFT_LIMIT = MetricEntry("cleanup_run_drift_limit_ratio", "Beyond it the run stops for a new plan.")
    RUN_LANES = MetricEntry("cleanup_run_lanes", "Lanes that have a session or a chunk, on all hosts.")
    RUN_LANES_WANTED = MetricEntry("cleanup_run_lanes_wanted", "Lanes that this job is to have, as configured or set.")
    RUN_WAL = MetricEntry(
        "cleanup_run_wal_bytes_per_second", "WAL of the server while the run wrote, on average over ten seconds."
    )
    PAUSED = MetricEntry("cleanup_throttle_paused", "1 while a signal holds the run.", ("run",))
    WORD_AGE = MetricEntry(
        "cleanup_throttle_word_age_seconds",
        "How long ago a job judged the signals; beyond 15 no batch opens.",
        ("run",),
    )
    SIGNAL_VALUE = MetricEntry("cleanup_throttle_signal_value", "The signal as read last, in its unit.", _SIGNAL)
    SIGNAL_LIMIT = MetricEntry("cleanup_throttle_signal_limit", "Beyond it the run waits.", _SIGNAL)
    SIGNAL_HEALTHY = MetricEntry("cleanup_throttle_signal_healthy", "0 while the signal holds the run.", _SIGNAL)
    SIGNAL_READABLE = MetricEntry("cleanup_throttle_signal_readable", "0 while the signal can not be read.", _SIGNAL)
    SIGNAL_AGE = MetricEntry("cleanup_throttle_signal_age_seconds", "How long ago it was read.", _SIGNAL)
    SIGNAL_HELD = MetricEntry(
        "cleanup_throttle_signal_held_seconds", "For how long it has held the run; 0: it does not.", _SIGNAL
    )
    PLAN_STATE = MetricEntry("cleanup_plan_state", "1 for the state that the plan is in.", ("plan", "state"))
    PLAN_ROWS = MetricEntry("cleanup_plan_rows_read_total", "Rows that were scanned.", _PLAN, Kind.COUNTER)
    PLAN_ESTIMATE = MetricEntry("cleanup_plan_rows_estimate", "Rows to be scanned, as the catalog estimates.", _PLAN)
    PLAN_PROGRESS = MetricEntry("cleanup_plan_progress_ratio", "Read of estimated, from 0 to 1.", _PLAN)
    PLAN_FINDINGS = MetricEntry("cleanup_plan_findings_total", "Values with links.", _PLAN, Kind.COUNTER)
    PLAN_CHUNKS = MetricEntry("cleanup_plan_chunks_total", "Chunks that are scanned.", _PLAN, Kind.COUNTER)
    PLAN_LAST_CHUNK = MetricEntry("cleanup_plan_last_chunk_timestamp_seconds", "When the newest chunk was.", _PLAN)
    PLAN_LANES = MetricEntry("cleanup_plan_lanes", "Lanes that have a session or a chunk, on all hosts.", _PLAN)
    JOB_FAILED = MetricEntry("cleanup_job_failed", "1 with the code of the error that ended the job.", ("code",))


@dataclass(frozen=True, slots=True)
class RunNumbers:
    """Everything that is told of a run; `lock_batches` are batches by the bounds of lock time."""

    look: RunLook
    lock_batches: tuple[int, ...]
    retries: tuple[tuple[str, int], ...]
    drift_limit: float
    lanes_wanted: int


@dataclass(frozen=True, slots=True)
class PlanNumbers:
    """Everything that is told of a plan."""

    look: PlanLook


@dataclass(frozen=True, slots=True)
class WaitNumbers:
    """All there is to tell while a job waits for the cutover."""

    plan_id: int
    cutover: datetime
    seconds_left: float
    at: datetime


Numbers = RunNumbers | PlanNumbers | WaitNumbers


def run_numbers(connection: Connection, run_id: int, config: JobConfig) -> RunNumbers:
    """The numbers of a run as it is now."""
    settings = look_at_gate(connection, run_id).control.settings
    pace, _ = with_settings(config.pace, config.throttle, settings)
    return RunNumbers(
        look_at_run(connection, run_id),
        lock_times(connection, run_id, LOCK_BOUNDS_SECONDS),
        retries(connection, run_id),
        config.approval.max_drift,
        pace.lanes,
    )


def plan_numbers(connection: Connection, plan_id: int) -> PlanNumbers:
    """The numbers of a plan as it is now."""
    return PlanNumbers(look_at_plan(connection, plan_id))
