"""The closed sets of words that several floors share; `runbooks/glossary.md` defines them."""

from enum import Enum, IntEnum


class Decision(Enum):
    """What becomes of one span."""

    REDACT = "redact"
    REWRITE = "rewrite"
    REVIEW = "review"
    KEEP = "keep"

    # Whether a span with this decision is written.
    changes_text: bool

    def __init__(self, value: str) -> None:
        self.changes_text = value in ("redact", "rewrite")


class ColumnFormat(Enum):
    """How the text of a column is to be read."""

    TEXT = "text"
    HTML = "html"
    MARKDOWN = "markdown"
    JSON = "json"
    URL = "url"


class Signal(Enum):
    """What a run watches before each batch; where one is not well, the run waits."""

    REPLICA_LAG = "replica_lag"
    SLOT_WAL = "slot_wal"
    ARCHIVE_QUEUE = "archive_queue"
    ARCHIVE_FAILING = "archive_failing"
    LONG_TRANSACTION = "long_transaction"
    LOCK_QUEUE = "lock_queue"
    VACUUM = "vacuum"
    DISK_FREE = "disk_free"
    WINDOW = "window"


class ExitStatus(IntEnum):
    """What the process says to the shell; each error class has one."""

    DONE = 0
    LEFT_OR_REFUSED = 1
    USAGE_OR_CONFIG = 2
    PREFLIGHT = 3
    INTERRUPTED = 4
    UNREACHABLE = 5
    INTERNAL = 70
