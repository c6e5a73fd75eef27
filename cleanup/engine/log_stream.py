"""A run's log and its batches, however many there are: a page at a time, each read in a transaction of its own.

Nothing is held open in between, and a page that has to be read again is passed on once.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

from cleanup.db.archives import SettledBatch, page_of_batches
from cleanup.db.change_log import LogRow, page_of_log
from cleanup.db.database import Database

_PAGE_ROWS: Final = 5_000
_PAGE_BATCHES: Final = 500
_NO_END: Final = 2**63 - 1


def stream_log(database: Database, run_id: int) -> Iterator[LogRow]:
    """Every row of a run's log by finding number."""
    after = -1
    while page := database.transact(
        partial(page_of_log, run_id=run_id, after_number=after, through_number=_NO_END, rows=_PAGE_ROWS),
        read_only=True,
    ):
        yield from page
        after = page[-1].finding_number


def stream_batches(database: Database, run_id: int) -> Iterator[SettledBatch]:
    """Every batch of a run in the order of its head."""
    after = (-1, -1)
    while page := database.transact(
        partial(page_of_batches, run_id=run_id, after=after, batches=_PAGE_BATCHES), read_only=True
    ):
        yield from page
        after = (page[-1].run_pass, page[-1].after_number)
