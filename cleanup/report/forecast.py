"""What a run of the plan would cost the database, reckoned from sizes, and how each figure was come by."""

from dataclasses import dataclass
from math import ceil, exp
from typing import Final

from cleanup.db.connection import Connection
from cleanup.db.report_forecast import (
    EarlierRehearsal,
    EarlierRun,
    LeafSize,
    ServerWal,
    earlier_rehearsal,
    earlier_run,
    leaf_sizes,
    server_wal,
)

# A log row's fixed part on disk: hashes, chain, numbers, key, the row's header, and its two index entries.
_LOG_ROW_BYTES: Final = 230
# A link's fixed part in a log row: its place, its label and the hashes of its surroundings.
_LOG_LINK_BYTES: Final = 35
# A WAL record's head with what it says of the page, for a table's row and for an index entry.
_WAL_ROW_BYTES: Final = 60
_WAL_INDEX_BYTES: Final = 70


@dataclass(frozen=True, slots=True)
class ForecastLine:
    """One leaf. `wal_bytes` is without full-page images, `image_bytes` is what those add right after a checkpoint;
    `dead_bytes` is what stays behind for VACUUM."""

    leaf: str
    rows_to_change: int
    values_to_change: int
    pages: int
    pages_touched: int
    index_pages_touched: int
    wal_bytes: int
    image_bytes: int
    dead_bytes: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """The whole run; `seconds` is None where nothing was measured yet."""

    lines: tuple[ForecastLine, ...]
    wal_bytes: int
    image_bytes: int
    log_bytes: int
    dead_bytes: int
    seconds: float | None
    duration_measured: str
    wal_measured: str
    log_measured: str
    dead_measured: str


def forecast(connection: Connection, plan_id: int) -> Forecast:
    """Reckon a plan's run from the sizes as they are now."""
    sizes = leaf_sizes(connection, plan_id, _LOG_ROW_BYTES, _LOG_LINK_BYTES)
    server = server_wal(connection)
    earlier = earlier_run(connection)
    rehearsal = earlier_rehearsal(connection, plan_id)
    lines = tuple(_line(size, server) for size in sizes)
    values = sum(size.values_to_change for size in sizes)
    log_bytes, log_measured = _log(sizes, values, earlier)
    seconds, duration_measured = _duration(values, rehearsal, earlier)
    images = "on" if server.full_page_writes else "off, so there are none"
    return Forecast(
        lines=lines,
        # The log is written through the WAL as well, as it is.
        wal_bytes=sum(line.wal_bytes for line in lines) + log_bytes,
        image_bytes=sum(line.image_bytes for line in lines),
        log_bytes=log_bytes,
        dead_bytes=sum(line.dead_bytes for line in lines),
        seconds=seconds,
        duration_measured=duration_measured,
        wal_measured=(
            f"reckoned from file sizes now: rows spread evenly over their tables' and indexes' pages of "
            f"{server.page_bytes} bytes, every page written whole once (full_page_writes is {images}). A run longer "
            f"than checkpoint_timeout ({server.checkpoint_timeout}) may write a page whole again after each checkpoint"
            f"{_rehearsed_wal(rehearsal)}"
        ),
        log_measured=log_measured,
        dead_measured="every changed row leaves its old version behind, of its table's average size, until VACUUM",
    )


def _line(size: LeafSize, server: ServerWal) -> ForecastLine:
    pages = ceil(size.bytes / server.page_bytes)
    row_bytes = ceil(size.bytes / size.rows) if size.rows else 0
    touched = _distinct(pages, size.rows_to_change)
    index_touched = 0
    if size.indexes:
        index_touched = size.indexes * _distinct(
            ceil(size.index_bytes / server.page_bytes / size.indexes), size.rows_to_change
        )
    per_row = row_bytes + 2 * _WAL_ROW_BYTES + size.indexes * _WAL_INDEX_BYTES
    return ForecastLine(
        leaf=size.leaf,
        rows_to_change=size.rows_to_change,
        values_to_change=size.values_to_change,
        pages=pages,
        pages_touched=touched,
        index_pages_touched=index_touched,
        wal_bytes=size.rows_to_change * per_row,
        image_bytes=(touched + index_touched) * server.page_bytes if server.full_page_writes else 0,
        dead_bytes=size.rows_to_change * row_bytes,
    )


def _distinct(pages: int, rows: int) -> int:
    """How many of the pages so many rows lie on, if they are spread evenly."""
    return min(rows, ceil(pages * (1 - exp(-rows / pages)))) if pages else 0


def _log(sizes: tuple[LeafSize, ...], values: int, earlier: EarlierRun | None) -> tuple[int, str]:
    if earlier is not None and earlier.log_rows and earlier.log_bytes:
        return (
            ceil(earlier.log_bytes / earlier.log_rows * values),
            f"from run {earlier.run_id}: {earlier.log_bytes:,} bytes on disk for {earlier.log_rows:,} log rows",
        )
    return (
        sum(size.log_bytes for size in sizes),
        f"reckoned: {_LOG_ROW_BYTES} bytes a value, {_LOG_LINK_BYTES} a link, and each link as it is",
    )


def _duration(values: int, rehearsal: EarlierRehearsal | None, earlier: EarlierRun | None) -> tuple[float | None, str]:
    if rehearsal is not None:
        # The plan's own values on this server: nearer to its run than what another plan's values took.
        return (
            round(rehearsal.seconds / rehearsal.findings * values, 1),
            f"from a rehearsal on {rehearsal.finished_at:%Y-%m-%d %H:%M} UTC: {rehearsal.findings:,} of this plan's "
            f"{values:,} values in {rehearsal.seconds:.1f} s, in {rehearsal.lanes} lane, with the rests of its config "
            "and no pause; a run in more lanes, or that rests less, may take less, and one that a signal holds, more",
        )
    if earlier is not None and earlier.seconds:
        return (
            round(earlier.seconds / earlier.findings * values, 1),
            f"from run {earlier.run_id}: {earlier.findings:,} values in {earlier.seconds:.1f} s, pauses included",
        )
    return None, "not measured yet: no run in this ledger has finished; `cleanup apply --rehearse` measures it"


def _rehearsed_wal(rehearsal: EarlierRehearsal | None) -> str:
    if rehearsal is None:
        return ""
    # Beside what was reckoned and not in its place: authors' writes and the images of just then are in it.
    return (
        f". In the rehearsal of {rehearsal.findings:,} values the server wrote {rehearsal.wal_bytes:,} bytes, page "
        "images and the writes of others included"
    )
