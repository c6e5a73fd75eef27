"""The steps that plan, apply and rollback take, by name, and where the server can hold a process at each of them."""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Hold(Enum):
    """What a step waits for, as pg_stat_activity names it: type and event."""

    TRIGGER = ("Lock", "advisory")
    COMMIT = ("IPC", "SyncRep")
    TABLE = ("Lock", "relation")


@dataclass(frozen=True, slots=True)
class Gate:
    """Where the server holds a session: at a trigger, at the COMMIT of a trigger's transaction, or at a table's lock.

    `place` is the trigger's event and table; for TABLE it is the table, and `query` a part of the statement.
    """

    hold: Hold
    place: str
    query: str = ""


_EACH_ROW: Final = "FOR EACH ROW WHEN"


class Step(Enum):
    """The steps in the order in which a verb takes them; the value is what the fault table says of each."""

    PLAN_CREATED = "plan created, not committed"
    CHUNK_CLAIMED = "chunk of the plan claimed, not committed"
    CHUNK_HELD = "chunk claimed, its transaction open"
    READ_BEGUN = "read asked for"
    READING = "in the middle of the read"
    CHUNK_FINISHED = "chunk finished, no finding sent"
    SENDING = "in the middle of the COPY of findings"
    CHUNK_COMMITTING = "COMMIT of findings sent"
    CHUNK_COMMITTED = "findings committed, not heard"
    DIGESTING = "digest pass"
    PLAN_FINISHED = "digest written, not committed"
    PLAN_COMMITTING = "COMMIT of the plan sent"

    RUN_CREATED = "run created, not committed"
    RUN_CHUNK_CLAIMED = "chunk of the run claimed, not committed"
    PAGE_ASKED_FOR = "page of findings asked for"
    PAGE_READ = "between batches, its findings read"
    BEFORE_LOCK = "before the lock"
    AFTER_LOCK = "after the lock, before the write"
    WRITING = "in the middle of the write"
    BEFORE_LOG = "after the write, before the log"
    BEFORE_CHECKPOINT = "after the log, before the checkpoint"
    CHECKPOINTED = "after the checkpoint, before the COMMIT"
    COMMITTING = "COMMIT sent"
    COMMITTED = "committed, not heard"
    CHUNK_ENDED = "end of a chunk, not committed"
    RUN_CLOSED = "run closed, not committed"
    RUN_COMMITTING = "COMMIT of the run's end sent"

    @property
    def number(self) -> int:
        """The step's own advisory lock."""
        return list(Step).index(self)


GATES: Final = {
    Step.PLAN_CREATED: Gate(Hold.TRIGGER, "AFTER INSERT ON cleanup.plan FOR EACH ROW"),
    Step.CHUNK_CLAIMED: Gate(
        Hold.TRIGGER, f"AFTER INSERT OR UPDATE OF attempt ON cleanup.chunk {_EACH_ROW} (NEW.state = 'claimed')"
    ),
    Step.READ_BEGUN: Gate(Hold.TABLE, "public.note", "COPY ("),
    Step.CHUNK_FINISHED: Gate(Hold.TRIGGER, f"AFTER UPDATE ON cleanup.chunk {_EACH_ROW} (NEW.state = 'done')"),
    Step.SENDING: Gate(Hold.TRIGGER, f"BEFORE INSERT ON cleanup.finding {_EACH_ROW} (NEW.finding_number % 10 = 5)"),
    Step.CHUNK_COMMITTING: Gate(Hold.COMMIT, f"AFTER UPDATE ON cleanup.chunk {_EACH_ROW} (NEW.state = 'done')"),
    Step.DIGESTING: Gate(Hold.TABLE, "cleanup.plan_column", "finding_hash"),
    Step.PLAN_FINISHED: Gate(Hold.TRIGGER, f"AFTER UPDATE ON cleanup.plan {_EACH_ROW} (NEW.state = 'finished')"),
    Step.PLAN_COMMITTING: Gate(Hold.COMMIT, f"AFTER UPDATE ON cleanup.plan {_EACH_ROW} (NEW.state = 'finished')"),
    Step.RUN_CREATED: Gate(Hold.TRIGGER, "AFTER INSERT ON cleanup.run FOR EACH ROW"),
    Step.RUN_CHUNK_CLAIMED: Gate(
        Hold.TRIGGER, f"AFTER UPDATE OF attempt ON cleanup.run_chunk {_EACH_ROW} (NEW.state = 'claimed')"
    ),
    Step.PAGE_ASKED_FOR: Gate(Hold.TABLE, "cleanup.finding", "cleanup:findings.page"),
    Step.BEFORE_LOCK: Gate(Hold.TRIGGER, "AFTER INSERT ON cleanup.batch FOR EACH ROW"),
    Step.WRITING: Gate(Hold.TRIGGER, f"BEFORE UPDATE ON public.{{}} {_EACH_ROW} (NEW.author_id % 4 = 2)"),
    Step.BEFORE_LOG: Gate(Hold.TRIGGER, "BEFORE INSERT ON cleanup.change_log FOR EACH STATEMENT"),
    Step.BEFORE_CHECKPOINT: Gate(Hold.TRIGGER, "BEFORE UPDATE ON cleanup.batch FOR EACH ROW"),
    Step.CHECKPOINTED: Gate(Hold.TRIGGER, "AFTER UPDATE ON cleanup.batch FOR EACH ROW"),
    Step.COMMITTING: Gate(Hold.COMMIT, "AFTER UPDATE ON cleanup.batch FOR EACH ROW"),
    Step.CHUNK_ENDED: Gate(Hold.TRIGGER, f"AFTER UPDATE ON cleanup.run_chunk {_EACH_ROW} (NEW.state = 'done')"),
    Step.RUN_CLOSED: Gate(Hold.TRIGGER, f"AFTER UPDATE ON cleanup.run {_EACH_ROW} (NEW.state = 'finished')"),
    Step.RUN_COMMITTING: Gate(Hold.COMMIT, f"AFTER UPDATE ON cleanup.run {_EACH_ROW} (NEW.state = 'finished')"),
}
# Behind which gate a step in the client lies, and how the server shows that its process is there.
BEYOND: Final = {
    Step.CHUNK_HELD: (Step.CHUNK_CLAIMED, "state = 'idle in transaction'"),
    Step.READING: (Step.READ_BEGUN, "wait_event = 'ClientWrite'"),
    Step.CHUNK_COMMITTED: (Step.CHUNK_COMMITTING, "state = 'idle'"),
    Step.PAGE_READ: (Step.PAGE_ASKED_FOR, "state = 'idle in transaction'"),
    Step.AFTER_LOCK: (Step.BEFORE_LOCK, "state = 'idle in transaction'"),
    Step.COMMITTED: (Step.COMMITTING, "state = 'idle'"),
}
# Earlier steps need these tables too: so the lock is asked for while a lane holds its claim, and comes next.
LOCKED_AFTER: Final = {
    Step.READ_BEGUN: Step.CHUNK_CLAIMED,
    Step.PAGE_ASKED_FOR: Step.RUN_CHUNK_CLAIMED,
}
