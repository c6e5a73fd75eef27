"""A look into the texts themselves: a sample of each table is searched for links that the policy decides."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from cleanup.check_names import CheckName
from cleanup.config import JobConfig
from cleanup.db.check_copies import LOOKED_AT, TextTable, rows_estimate, sample_texts, tables_with_text
from cleanup.db.checks import Unreadable, attempt
from cleanup.db.connection import Connection, Limits
from cleanup.db.database import Database
from cleanup.engine.checks.result import CheckResult, named, ok, warn
from cleanup.engine.checks.space import Expected
from cleanup.engine.job import Job
from cleanup.links.finder import Finder
from cleanup.links.prefilter import Prefilter
from cleanup.vocabulary import ColumnFormat, Decision

_LOCK_TIMEOUT_MS: Final = 500
_SHORTEST_MS: Final = 100


@dataclass(frozen=True, slots=True)
class _Sampled:
    """How many rows were read, in how many of them each column holds a link, and in how many any does."""

    rows: int
    by_column: dict[str, int]
    with_links: int


class Discovery:
    """Samples table after table, each in a short transaction of its own, until the time is up."""

    def __init__(self, database: Database, job: Job) -> None:
        self._database = database
        self._job = job
        self._prefilter = Prefilter.compile(job.policy, job.formats() | {ColumnFormat.TEXT}, job.pattern_cache)
        self._finder = Finder(job.policy)
        self._give_up = time.monotonic() + job.config.check.sample_seconds
        self._tables = database.transact(tables_with_text, read_only=True)

    def expected_changes(self) -> Expected | None:
        """How many rows of the configured tables would change, going by a sample; None where none was to be taken."""
        rows = self._job.config.check.sample_rows
        if not rows:
            return None
        changes: dict[str, int] = {}
        for table in self._tables:
            columns = [column for column in table.readable() if column in configured(self._job.config, table.full_name)]
            sampled = self._sample(table, columns) if columns else None
            if isinstance(sampled, _Sampled) and sampled.rows:
                known = self._database.transact(partial(rows_estimate, oid=table.oid), read_only=True)
                changes[table.full_name] = round(max(known, sampled.rows) * sampled.with_links / sampled.rows)
        return Expected(changes, f"by a sample of {rows:,} rows of each table")

    def unconfigured_columns(self) -> Iterator[CheckResult]:
        """Columns with links that nobody configured, and what could not be looked at."""
        if not self._job.config.check.sample_rows:
            yield warn(CheckName.UNCONFIGURED_COLUMNS, "", "not looked for", "set sample_rows to have them sampled.")
            return
        found, unread, columns_read = 0, list[str](), 0
        for table in self._tables:
            ours = configured(self._job.config, table.full_name)
            columns = [column for column in table.readable() if column not in ours]
            unread += [f"{table.full_name}.{column}" for column in table.unreadable() if column not in ours]
            if not columns:
                continue
            sampled = self._sample(table, columns)
            if isinstance(sampled, Unreadable):
                unread += [f"{table.full_name}.{column}" for column in columns]
                continue
            columns_read += len(columns)
            for column, rows in sampled.by_column.items():
                found += 1
                yield _found(table, column, rows, sampled.rows)
        if unread:
            yield warn(
                CheckName.UNCONFIGURED_COLUMNS,
                "",
                f"not looked at: {named(unread)}",
                "a role with more rights, or more sample_seconds, sees them.",
            )
        if not found:
            yield ok(CheckName.UNCONFIGURED_COLUMNS, "", f"no link in samples of {columns_read:,} other column(s)")

    def _sample(self, table: TextTable, columns: Sequence[str]) -> _Sampled | Unreadable:
        left_ms = int((self._give_up - time.monotonic()) * 1000)
        limits = Limits(lock_timeout_ms=_LOCK_TIMEOUT_MS, statement_timeout_ms=max(left_ms, _SHORTEST_MS))
        rows = self._job.config.check.sample_rows

        def read(connection: Connection) -> list[tuple[str | None, ...]] | Unreadable:
            return attempt(connection, partial(sample_texts, connection, table, columns, rows))

        sample = self._database.transact(read, limits, read_only=True)
        if isinstance(sample, Unreadable):
            return sample
        by_column = dict.fromkeys(columns, 0)
        with_links = 0
        for values in sample:
            holding = [column for column, text in zip(columns, values, strict=True) if text and self._has_link(text)]
            with_links += bool(holding)
            for column in holding:
                by_column[column] += 1
        return _Sampled(len(sample), {column: number for column, number in by_column.items() if number}, with_links)

    def _has_link(self, text: str) -> bool:
        if not self._prefilter.hits(text.encode()):
            return False
        spans = self._finder.find(text, ColumnFormat.TEXT).spans
        return any(span.decision is not Decision.KEEP for span in spans)


def _found(table: TextTable, column: str, rows: int, of_rows: int) -> CheckResult:
    return warn(
        CheckName.UNCONFIGURED_COLUMNS,
        f"{table.full_name}.{column}",
        f"{rows:,} of {of_rows:,} sampled rows hold a link that the policy decides",
        "configure the column, or have somebody say that it may keep its links; "
        f"only the first {LOOKED_AT:,} characters of each value were looked at.",
    )


def configured(config: JobConfig, table: str) -> frozenset[str]:
    """The columns of a table that the config names: those of posts, and the operator's own map of short URLs."""
    names = {column.name for one in config.tables if one.name == table for column in one.columns}
    resolution = config.resolution
    if resolution is not None and resolution.table == table:
        names |= {resolution.short, resolution.target}
    return frozenset(names)
