"""The configured tables themselves: whether each can be read, found again by key, and written by this role."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from cleanup.check_names import CheckName
from cleanup.config import TableConfig
from cleanup.db.check_tables import column_rights, explain_write, hidden_leaves, update_rules
from cleanup.db.checks import Posts, Unreadable, attempt, posts_of
from cleanup.db.connection import Connection
from cleanup.db.describe import describe_table, require_resolution
from cleanup.db.targets import Target
from cleanup.engine.checks.result import CheckResult, block, named, ok, warn
from cleanup.engine.checks.setting import Setting
from cleanup.engine.job import Job
from cleanup.errors import KeyUnusable, PreflightFailed

# Partitions are alike but for their rights, which are looked at one by one.
_LEAVES_TRIED: Final = 50
_GRANT: Final = "grant it to the role; rights on single columns are enough, and partitions need rights of their own."


def describe_posts(connection: Connection, job: Job) -> tuple[list[Posts], list[CheckResult]]:
    """The tables that can be worked on, and for each configured one how it came out."""
    posts: list[Posts] = []
    results: list[CheckResult] = []
    for config in job.config.tables:
        described = _describe(connection, config)
        if isinstance(described, CheckResult):
            results.append(described)
            continue
        posts.append(described)
        table = described.table
        results.append(
            ok(CheckName.TABLE, table.name, f"{len(table.columns)} columns, {len(table.leaves)} table(s) with rows")
        )
        key = ", ".join(f"{part.name} {part.type_name}" for part in table.key)
        results.append(ok(CheckName.KEY, table.name, key))
    results += _resolution(connection, job)
    return posts, results


def _describe(connection: Connection, config: TableConfig) -> Posts | CheckResult:
    try:
        answer = attempt(connection, lambda: posts_of(connection, describe_table(connection, config)))
    except PreflightFailed as error:
        name = CheckName.KEY if isinstance(error, KeyUnusable) else CheckName.TABLE
        return block(name, config.name, f"{error.code} {error.message}", error.hint)
    if isinstance(answer, Unreadable) and answer.is_locked:
        return block(
            CheckName.TABLE_LOCKS,
            config.name,
            "somebody holds it locked, so that not even its columns can be looked at",
            "wait until that is done; pg_locks and pg_blocking_pids() say who it is.",
        )
    if isinstance(answer, Unreadable):
        return block(
            CheckName.READ_PRIVILEGES, config.name, f"its rows can not be read (SQLSTATE {answer.sqlstate})", _GRANT
        )
    return answer


def _resolution(connection: Connection, job: Job) -> Iterator[CheckResult]:
    resolution = job.config.resolution
    if resolution is None:
        return
    try:
        require_resolution(connection, resolution)
    except PreflightFailed as error:
        yield block(CheckName.TABLE, resolution.table, f"{error.code} {error.message}", error.hint)


def privileges(setting: Setting) -> Iterator[CheckResult]:
    """Rights on every leaf: to read each column that is named, to write each that may change."""
    for posts in setting.posts:
        rights = column_rights(setting.connection, posts)
        unread = [f"{right.leaf}.{right.column}" for right in rights if not right.may_read]
        written = set(posts.written)
        unwritten = [
            f"{right.leaf}.{right.column}" for right in rights if right.column in written and not right.may_write
        ]
        for name, verb, lacking in (
            (CheckName.READ_PRIVILEGES, "SELECT", unread),
            (CheckName.WRITE_PRIVILEGES, "UPDATE", unwritten),
        ):
            if lacking:
                yield block(name, posts.table.name, f"the role may not {verb} {named(lacking)}", _GRANT)
            else:
                yield ok(name, posts.table.name, f"{verb} on every column that needs it")


def row_security(setting: Setting) -> Iterator[CheckResult]:
    """Row security that applies to this role: rows that it hides would stay as they are."""
    for posts in setting.posts:
        hidden = hidden_leaves(setting.connection, posts)
        if hidden:
            yield block(
                CheckName.ROW_SECURITY,
                posts.table.name,
                f"policies apply to this role on {named(hidden)}",
                "run the job as a role with BYPASSRLS, or as the table's owner where it is not FORCEd.",
            )
        else:
            yield ok(CheckName.ROW_SECURITY, posts.table.name, "hides no row from this role")


def rules(setting: Setting) -> Iterator[CheckResult]:
    """Rewrite rules on UPDATE, which the server does not allow beside what a batch asks for."""
    for posts in setting.posts:
        found = [f"{rule.name} on {rule.leaf}" for rule in update_rules(setting.connection, posts)]
        if found:
            yield block(
                CheckName.RULES,
                posts.table.name,
                f"UPDATE is rewritten by {named(found)}",
                "disable it for the run (ALTER TABLE ... DISABLE RULE), or make it a trigger.",
            )
        else:
            yield ok(CheckName.RULES, posts.table.name, "none on UPDATE")


def write_statement(setting: Setting) -> Iterator[CheckResult]:
    """The server's own word on the statement that a batch would send; it is planned, not run."""
    for posts in setting.posts:
        refused = _first_refusal(setting, posts)
        if refused is None:
            yield ok(CheckName.WRITE_STATEMENT, posts.table.name, "the server would take a batch's UPDATE")
        elif refused[1].is_locked:
            yield warn(
                CheckName.WRITE_STATEMENT,
                posts.table.name,
                f"not tried: {refused[0]} is locked by somebody",
                "run the check again once the lock is gone.",
            )
        else:
            yield block(
                CheckName.WRITE_STATEMENT,
                posts.table.name,
                f"the server refuses a batch's UPDATE on {refused[0]} (SQLSTATE {refused[1].sqlstate})",
                "see this table's other results; else the SQLSTATE says what the server objects to.",
            )


def _first_refusal(setting: Setting, posts: Posts) -> tuple[str, Unreadable] | None:
    for number, leaf in enumerate(posts.table.leaves[:_LEAVES_TRIED]):
        target = Target(posts.table, leaf, number, setting.job.policy.cutover)
        answer = attempt(setting.connection, partial(explain_write, setting.connection, target))
        if isinstance(answer, Unreadable):
            return leaf.full_name, answer
    return None
