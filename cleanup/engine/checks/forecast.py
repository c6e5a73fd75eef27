"""How much a run will write: WAL, old row versions, the ledger. Pure, and rather too much than too little."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

PAGE_BYTES: Final = 8192
# Per changed row: the headers of its WAL record; an index entry in the WAL and in the index; what the ledger keeps
# of it (finding, log row and their keys), and that again as WAL.
_RECORD_BYTES: Final = 60
_ENTRY_WAL_BYTES: Final = 80
_ENTRY_BYTES: Final = 40
_LEDGER_BYTES: Final = 700
_LEDGER_WAL_BYTES: Final = 500
_SMALLEST_ROW_BYTES: Final = 60


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table: rows that change, its rows and pages, and the pages of each of its indexes."""

    changes: int
    rows: int
    pages: int
    index_pages: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Bytes that a run writes; its rollback writes about as many again."""

    changes: int
    wal_bytes: int
    bloat_bytes: int
    ledger_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it, as if no WAL were recycled meanwhile."""
        return self.wal_bytes + self.bloat_bytes + self.ledger_bytes


def forecast(tables: Iterable[TableSize], *, full_page_writes: bool) -> Forecast:
    """The bytes of a run, where each changed row lies on a page of its own as long as there are enough."""
    changes = wal = bloat = 0
    for table in tables:
        row_bytes = max(table.pages * PAGE_BYTES // max(table.rows, 1), _SMALLEST_ROW_BYTES)
        index_entries = table.changes * len(table.index_pages)
        changes += table.changes
        bloat += table.changes * row_bytes + index_entries * _ENTRY_BYTES
        wal += table.changes * (row_bytes + _RECORD_BYTES + _LEDGER_WAL_BYTES) + index_entries * _ENTRY_WAL_BYTES
        if full_page_writes:
            # The first change of a page after a checkpoint writes it whole.
            wal += sum(min(table.changes, pages) for pages in (table.pages, *table.index_pages)) * PAGE_BYTES
    return Forecast(changes, wal, bloat, changes * _LEDGER_BYTES)
