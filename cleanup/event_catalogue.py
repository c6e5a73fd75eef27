"""Everything that is said of plans and runs, in the log and in the ledger: a closed catalogue.

`python -m cleanup.event_catalogue > runbooks/events.md` makes the page from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Level(Enum):
    """How much somebody should care."""

    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event: its name, what it means, and the fields it has where it is said.

    `log` and `ledger` are names with blanks between; a question mark follows one that may be missing, and None
    says that the event is not said there. A `routine` event is what a terminal's bar shows anyway.
    """

    name: str
    meaning: str
    log: str | None = None
    ledger: str | None = None
    level: Level = Level.INFO
    routine: bool = False


class Event(Enum):
    """The events by their subjects; what is said of them elsewhere is their `value`."""

    # Plans
    PLAN_CREATED = Entry("plan.created", "A plan begins.", ledger="plan")
    PLAN_STARTED = Entry("plan.started", "A job begins to work on a plan, or goes on with it.", log="plan leaves")
    CHUNK_AWAITS_REPLICA = Entry(
        "chunk.awaits_replica",
        "A standby is to be scanned, and has not replayed yet what the plan has to see.",
        log="lsn",
    )
    CHUNK_FINISHED = Entry("chunk.finished", "A lane has scanned a chunk.", log="rows findings", routine=True)
    PLAN_FINISHED = Entry(
        "plan.finished", "Every row was read, and the plan has its digest.", log="plan digest", ledger="plan digest"
    )
    PLAN_REVIEWED = Entry(
        "plan.reviewed",
        "A person's decisions on a plan made a new one.",
        log="plan reviewed_plan digest",
        ledger="plan reviewed_plan reviewer decisions digest",
    )
    # Approvals, and the risks that somebody takes
    PLAN_APPROVED = Entry("plan.approved", "Somebody signed a plan.", ledger="plan run? approver ticket")
    PLAN_APPROVAL_REVOKED = Entry(
        "plan.approval_revoked", "Somebody took a plan's approval back.", ledger="plan run? revoker reason"
    )
    ROLLBACK_APPROVED = Entry("rollback.approved", "Somebody signed a rollback.", ledger="plan run approver ticket")
    ROLLBACK_APPROVAL_REVOKED = Entry(
        "rollback.approval_revoked", "Somebody took a rollback's approval back.", ledger="plan run revoker reason"
    )
    CHECK_ACKNOWLEDGED = Entry(
        "check.acknowledged",
        "The config takes a risk by name: in a plan all of them, in a run each that was found.",
        ledger="plan run? accepted? check? subject? value?",
    )
    # Waiting, and rehearsing
    CUTOVER_AWAITED = Entry(
        "cutover.awaited", "apply --wait waits; said every ten minutes.", log="plan cutover seconds_left"
    )
    CUTOVER_CLOCK_UNANSWERED = Entry(
        "cutover.clock_unanswered",
        "The server did not tell its time; our own clock goes on until it does.",
        log="code",
        level=Level.WARNING,
    )
    REHEARSAL_STARTED = Entry("rehearsal.started", "apply --rehearse begins.", log="plan findings")
    REHEARSAL_FINISHED = Entry(
        "rehearsal.finished",
        "It came to its end, and every batch was rolled back; the plan's report forecasts from what it measured.",
        log="plan findings elapsed_ms wal_bytes lanes",
        ledger="plan findings elapsed_ms wal_bytes lanes",
    )
    # Runs
    RUN_CREATED = Entry(
        "run.created",
        "An approval was used up, or a rollback begins.",
        ledger="plan? run source_run? approval? by? reason?",
    )
    RUN_MARKED = Entry(
        "run.marked",
        "Where in the WAL a run begins or ends: by a restore point, or why there is none.",
        log="run moment lsn restore_point? note?",
    )
    RUN_DRIFT_SAMPLED = Entry(
        "run.drift_sampled",
        "Before a run's first write: of how many sampled values how many are not as they were planned.",
        log="plan run moved sampled",
        ledger="plan run moved sampled",
    )
    RUN_STARTED = Entry(
        "run.started", "A job begins to work on a run, or goes on with it.", log="run plan? source? lanes"
    )
    BATCH_COMMITTED = Entry(
        "batch.committed",
        "A batch is written: its outcomes, how long it held its locks, the head of its log.",
        log="through outcomes elapsed_ms head",
        routine=True,
    )
    BATCH_FOUND_DONE = Entry(
        "batch.found_done",
        "A batch is written already: its commit's answer was lost, or another attempt was quicker.",
        log="",
    )
    BATCH_TOO_LONG = Entry(
        "batch.too_long",
        "The server ended a batch for holding its locks too long; it is tried again, in two halves where it can be.",
        log="findings",
        level=Level.WARNING,
    )
    BATCH_GIVEN_UP = Entry(
        "batch.given_up",
        "One finding by itself took too long at every attempt; it is left, and its outcome says so.",
        log="sqlstate",
        level=Level.WARNING,
    )
    BATCH_REFUSED = Entry(
        "batch.refused",
        "The database refuses some row of a batch; it is written row by row.",
        log="findings",
        level=Level.WARNING,
    )
    TRANSACTION_RETRIED = Entry(
        "transaction.retried",
        "A transaction failed in a way that another attempt can mend.",
        log="attempt sqlstate error cause wait_ms",
        level=Level.WARNING,
    )
    RUN_PAUSED = Entry(
        "run.paused", "Somebody paused the run.", log="run by reason", ledger="run by reason", level=Level.WARNING
    )
    RUN_RESUMED = Entry(
        "run.resumed", "Somebody let it go on.", log="run by reason", ledger="run by reason", level=Level.WARNING
    )
    RUN_CANCEL_ASKED = Entry(
        "run.cancel_asked",
        "Somebody cancelled it; it ends after the batches that are open.",
        log="run by reason",
        ledger="run by reason",
        level=Level.WARNING,
    )
    RUN_SET = Entry("run.set", "Somebody set its pace or a signal.", ledger="run settings by reason")
    RUN_CANARY_REACHED = Entry(
        "run.canary_reached",
        "The canary is complete; the run waits for a look.",
        log="run findings log_head",
        ledger="run findings log_head",
    )
    RUN_INTERRUPTED = Entry(
        "run.interrupted", "The last job on it was stopped.", log="run log_head", ledger="run log_head"
    )
    RUN_FINISHED = Entry("run.finished", "Every finding has its outcome.", log="run log_head", ledger="run log_head")
    RUN_CANCELLED = Entry(
        "run.cancelled", "It ended because somebody cancelled it.", log="run log_head", ledger="run log_head"
    )
    RUN_DRIFT_STOPPED = Entry(
        "run.drift_stopped",
        "It ended because too many posts were edited since the plan.",
        log="run log_head",
        ledger="run log_head",
    )
    JOB_STOP_ASKED = Entry(
        "job.stop_asked", "A signal or --max-runtime ends the job between batches.", log="why signal"
    )
    METRICS_SERVED = Entry("metrics.served", "The job tells its numbers there.", log="host port")
    METRICS_UNWRITTEN = Entry(
        "metrics.unwritten",
        "The file for the textfile collector can not be written any more; the job goes on.",
        log="file error",
        level=Level.WARNING,
    )
    # Signals
    THROTTLE_PAUSED = Entry(
        "throttle.paused",
        "A signal holds the run.",
        log="run reason",
        ledger="run signal seconds reason",
        level=Level.WARNING,
    )
    THROTTLE_RESUMED = Entry(
        "throttle.resumed", "No signal holds it any more.", log="run", ledger="run signal seconds reason"
    )
    THROTTLE_ALERT = Entry(
        "throttle.alert",
        "A signal, or a pause that somebody asked for, holds it for longer than it may.",
        log="run signal reason",
        ledger="run signal seconds reason",
        level=Level.WARNING,
    )
    THROTTLE_ACCEPTED = Entry(
        "throttle.accepted",
        "A signal can not be read, and the config accepts that.",
        log="run signal reason",
        ledger="run signal seconds reason",
        level=Level.WARNING,
    )
    THROTTLE_IGNORED = Entry(
        "throttle.ignored",
        "A signal is not looked at, since config or `set` say so.",
        log="run signal reason",
        ledger="run signal seconds reason",
        level=Level.WARNING,
    )
    # The change log
    LOG_EXPORT_BEGUN = Entry(
        "log.export_begun", "Files that will hold removed links are begun.", ledger="run place format"
    )
    LOG_EXPORTED = Entry("log.exported", "They are complete.", log="run place log_rows manifest")
    RUN_PURGED = Entry(
        "run.purged",
        "A run's log is deleted, and with a plan's last run its findings.",
        log="run log_rows log_head",
        ledger="plan run log_rows findings forced reason log_head",
    )
    PLAN_PURGED = Entry(
        "plan.purged",
        "The findings of a plan that nobody has applied are deleted.",
        log="plan findings",
        ledger="plan findings reason",
    )
    RUN_LOG_RESTORED = Entry(
        "run.log_restored",
        "A purged run has its log back from an export.",
        log="run export log_rows",
        ledger="run export log_rows",
    )


# What the process is at work on; every event that is said meanwhile carries it.
BOUND_FIELDS: Final = ("run", "plan", "lane", "table", "chunk", "run_pass", "batch")


def required_fields(spelled: str) -> frozenset[str]:
    """The fields that an event always has."""
    return frozenset(name for name in spelled.split() if not name.endswith("?"))


def possible_fields(spelled: str) -> frozenset[str]:
    """All fields that it may have."""
    return frozenset(name.removesuffix("?") for name in spelled.split())


def page() -> str:
    """The Markdown page: a row for each event."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Events"
    yield ""
    yield "What a job says on standard error: JSON lines in a pipe, aligned text above the bar on a terminal, where the"
    yield "routine ones are left to the bar. What has to stay is in the ledger too: `cleanup.event` has `at`,"
    yield "`by_role`, `plan_id`, `run_id`, and the other fields in `detail`. No event holds a post's text or a"
    yield "password. The names are a closed set, and this page is made from the code:"
    yield "`python -m cleanup.event_catalogue > runbooks/events.md`."
    yield ""
    yield "In the log each event has `event`, `level` and `timestamp`, and carries what its process was at work on:"
    yield "`run` or `plan`; in a lane `lane`; within a chunk `table`, `chunk` and in a run `run_pass`; within a batch"
    yield "`batch`, the finding number behind which it starts: with run and pass its key in `cleanup.batch`."
    yield ""
    yield "Fields with a ? may be missing; a - says that the event is not said there."
    yield ""
    yield "| event | level | meaning | fields in the log | fields in the ledger |"
    yield "|---|---|---|---|---|"
    for event in Event:
        entry = event.value
        level = f"{entry.level.value}, routine" if entry.routine else entry.level.value
        yield f"| `{entry.name}` | {level} | {entry.meaning} | {entry.log or '-'} | {entry.ledger or '-'} |"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - this is what the module is run for
