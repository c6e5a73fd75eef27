"""Copies of the links that the run does not reach: materialized views, and tables that look like history or audit."""

import re
from collections.abc import Iterator
from typing import Final

from cleanup.check_names import CheckName
from cleanup.db.check_copies import TextTable, materialized_views, tables_with_text
from cleanup.db.tables import Table
from cleanup.engine.checks.result import CheckResult, block, named, ok, warn
from cleanup.engine.checks.setting import Setting

_KEEPERS: Final = re.compile(
    r"hist(?:ory)?|audits?|logs?|versions?|revisions?|archived?|archives|backups?|bak|old|cop(?:y|ies)|snapshots?|shadow"
    r"|deleted|trash|drafts?|te?mp"
)
# Tools that keep old rows of any table, by the names of their schemas and tables.
_TOOLS: Final = frozenset({"emaj", "pgmemento", "audit", "logged_actions", "record_version", "row_log"})
_WORDS: Final = re.compile(r"[a-z]+|\d+")


def copies(setting: Setting) -> Iterator[CheckResult]:
    """What keeps a text of its own after the post has changed."""
    seen: set[str] = {table.name for table in setting.job.config.tables}
    for posts in setting.posts:
        name = posts.table.name
        views = materialized_views(setting.connection, posts)
        for view in views:
            yield block(
                CheckName.MATERIALIZED_VIEWS,
                view,
                f"keeps texts of {name}",
                "REFRESH MATERIALIZED VIEW it after the run, and after each rollback.",
            )
        if not views:
            yield ok(CheckName.MATERIALIZED_VIEWS, name, "none keeps its texts")
        seen.update(views)
    yield from _look_alikes(setting, seen)


def _look_alikes(setting: Setting, seen: set[str]) -> Iterator[CheckResult]:
    found = 0
    for table in tables_with_text(setting.connection):
        if table.full_name in seen:
            continue
        for posts in setting.posts:
            likeness = likeness_of(table, posts.table)
            if likeness:
                found += 1
                yield warn(
                    CheckName.HISTORY_TABLES,
                    table.full_name,
                    f"{likeness}, and is not configured",
                    "if it holds old versions of posts, configure it as a [[table]] or see to it by other means.",
                )
                break
    if not found:
        yield ok(CheckName.HISTORY_TABLES, "", "no table looks like a copy of a configured one")


def likeness_of(table: TextTable, posts: Table) -> str | None:
    """Why a table may hold copies of these posts, judged by names alone, or None."""
    schema, _, base = posts.name.partition(".")
    wanted = {*posts.key_names(), *(column.name for column in posts.columns)}
    if wanted <= set(table.columns):
        return f"has the columns {named(sorted(wanted))} of {posts.name}"
    if {table.schema.lower(), table.name.lower()} & _TOOLS and table.schema != schema:
        return "has the name of a tool that keeps old rows"
    words = set(_WORDS.findall(table.name.lower()))
    stem = set(_WORDS.findall(base.lower()))
    plural = {f"{word}s" for word in stem}
    if any(_KEEPERS.fullmatch(word) for word in words) and (stem <= words or plural & words):
        return f"has a name like a copy of {posts.name}"
    return None
