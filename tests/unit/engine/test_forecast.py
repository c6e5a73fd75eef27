"""The forecast of a run's bytes, and what is made of it beside the free disk."""

import pytest

from cleanup.engine.checks.forecast import PAGE_BYTES, Forecast, TableSize, forecast
from cleanup.engine.checks.result import Level
from cleanup.engine.checks.space import judge_disk

# A million posts in a gigabyte, with a primary key.
POSTS = TableSize(changes=40_000, rows=1_000_000, pages=125_000, index_pages=(2_700,))


def test_scattered_rows_cost_a_page_of_wal_each() -> None:
    whole = forecast([POSTS], full_page_writes=True)
    rows_alone = forecast([POSTS], full_page_writes=False)
    assert whole.wal_bytes - rows_alone.wal_bytes == (40_000 + 2_700) * PAGE_BYTES
    # Measured for such a run: 250 to 410 MB.
    assert 250_000_000 < whole.wal_bytes < 450_000_000


def test_the_more_rows_change_the_less_each_costs_and_nothing_costs_nothing() -> None:
    all_of_them = forecast([TableSize(1_000_000, 1_000_000, 125_000, (2_700,))], full_page_writes=True)
    assert all_of_them.wal_bytes < 10 * forecast([POSTS], full_page_writes=True).wal_bytes
    assert forecast([TableSize(0, 0, 0, ())], full_page_writes=True) == Forecast(0, 0, 0, 0)
    assert forecast([], full_page_writes=True).total_bytes == 0


def test_each_index_adds_to_wal_and_tables() -> None:
    wider = forecast([TableSize(40_000, 1_000_000, 125_000, (2_700, 9_000))], full_page_writes=True)
    narrow = forecast([POSTS], full_page_writes=True)
    assert wider.wal_bytes > narrow.wal_bytes
    assert wider.bloat_bytes > narrow.bloat_bytes
    assert wider.ledger_bytes == narrow.ledger_bytes


@pytest.mark.parametrize(
    ("free", "level"),
    [(99, Level.BLOCK), (100, Level.WARN), (199, Level.WARN), (200, Level.OK), ("nobody knows", Level.WARN)],
)
def test_room_for_a_run_and_its_rollback_is_well(free: int | str, level: Level) -> None:
    result = judge_disk(Forecast(1, 50, 30, 20), free)
    assert result.level is level
    assert isinstance(free, int) or result.value == "unknown: nobody knows"
