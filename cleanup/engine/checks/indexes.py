"""Indexes: what a changed text costs in them, which of them can refuse it, and which are broken."""

from collections.abc import Iterator

from cleanup.check_names import CheckName
from cleanup.config import UrlResult
from cleanup.db.check_indexes import Index, indexes
from cleanup.db.checks import Posts
from cleanup.engine.checks.result import CheckResult, block, named, ok, size, warn
from cleanup.engine.checks.setting import Setting
from cleanup.vocabulary import ColumnFormat

_PAGE_BYTES = 8192


def index_checks(setting: Setting) -> Iterator[CheckResult]:
    """Indexes over written columns, unique ones among them, and invalid ones."""
    version = setting.connection.info.server_version
    for posts in setting.posts:
        found = indexes(setting.connection, posts)
        yield _cost(posts, found, version)
        yield from _unique(posts, [one for one in found if one.is_unique and one.written])
        yield _invalid(posts, [one for one in found if not one.is_valid])


def _cost(posts: Posts, found: list[Index], version: int) -> CheckResult:
    name = posts.table.name
    touched = [one for one in found if one.hinders_hot_update(version)]
    if not touched:
        return ok(CheckName.INDEXES, name, f"none of {len(found)} is over a written column")
    shown = [f"{one.name} ({one.method}, {size(one.pages * _PAGE_BYTES)})" for one in touched]
    return warn(
        CheckName.INDEXES,
        name,
        f"over written columns: {named(shown)}; no update can stay within its page (HOT)",
        f"each changed row adds an entry to all {len(found)} indexes: watch their size, and REINDEX CONCURRENTLY after "
        "the run where it grew.",
    )


def _unique(posts: Posts, found: list[Index]) -> Iterator[CheckResult]:
    name = posts.table.name
    if not found:
        yield ok(CheckName.UNIQUE_INDEXES, name, "none is over a written column")
        return
    constant = {
        column.name
        for column in posts.table.columns
        if column.format is ColumnFormat.URL and column.on_redact is not UrlResult.NULL
    }
    clashing = [one.name for one in found if len(one.written) == one.key_columns and constant.issuperset(one.written)]
    others = [one.name for one in found if one.name not in clashing]
    if clashing:
        yield block(
            CheckName.UNIQUE_INDEXES,
            name,
            f"{named(clashing)}: all redacted values of a url column become the same",
            'set on_redact = "null" for that column; else all but one of them end as refused_by_database.',
        )
    if others:
        yield warn(
            CheckName.UNIQUE_INDEXES,
            name,
            f"over written columns: {named(others)}",
            "where two texts differ by their links alone, the second ends as refused_by_database.",
        )


def _invalid(posts: Posts, found: list[Index]) -> CheckResult:
    name = posts.table.name
    if not found:
        return ok(CheckName.INVALID_INDEXES, name, "none")
    return warn(
        CheckName.INVALID_INDEXES,
        name,
        named([one.name for one in found]),
        "an index is being built, or its building failed: wait, or drop it; it costs at each changed row.",
    )
