"""The closed sets of words that several floors share; `runbooks/glossary.md` defines them."""

from enum import Enum, IntEnum


class Decision(Enum):
    """What becomes of one span."""

    REDACT = "redact"
    REWRITE = "rewrite"
    REVIEW = "review"
    KEEP = "keep"

    @property
    def changes_text(self) -> bool:
        """Whether a span with this decision is written."""
        return self in (Decision.REDACT, Decision.REWRITE)


class ColumnFormat(Enum):
    """How the text of a column is to be read."""

    TEXT = "text"
    HTML = "html"
    MARKDOWN = "markdown"
    JSON = "json"
    URL = "url"


class ExitStatus(IntEnum):
    """What the process says to the shell; each error class has one."""

    DONE = 0
    LEFT_OR_REFUSED = 1
    USAGE_OR_CONFIG = 2
    PREFLIGHT = 3
    INTERRUPTED = 4
    UNREACHABLE = 5
    INTERNAL = 70
