"""What the ledger's own functions refuse, as errors of our tree: their SQLSTATE is CL and the digits of the code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from cleanup.errors import (
    LogInUse,
    LogPurged,
    LogRetained,
    PlanAlreadyApplied,
    PlanUnfinished,
    PlanUnknown,
    Refused,
    RunEnded,
    RunUnfinished,
    RunUnknown,
)

_REFUSALS: Final[dict[str, type[Refused]]] = {
    "CL101": PlanUnknown,
    "CL102": PlanUnfinished,
    "CL108": PlanAlreadyApplied,
    "CL110": RunUnknown,
    "CL112": RunUnfinished,
    "CL114": LogPurged,
    "CL115": LogInUse,
    "CL116": LogRetained,
    "CL120": RunEnded,
}


@contextmanager
def ledger_refusals() -> Iterator[None]:
    """Raise the error of our tree where a function of the ledger refuses."""
    try:
        yield
    except psycopg.Error as error:
        refusal = _REFUSALS.get(error.sqlstate or "")
        if refusal is None:
            raise
        # The function's own words, with no text of a post in them.
        raise refusal(error.diag.message_primary or "", hint=error.diag.message_hint or "") from None
