"""Room for the run: what it will write, beside what is free."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cleanup.check_names import CheckName
from cleanup.db.check_health import leaf_health
from cleanup.db.check_indexes import indexes
from cleanup.db.check_server import settings
from cleanup.db.check_space import newest_plan, planned_changes
from cleanup.db.checks import Posts, Unreadable, attempt
from cleanup.engine.checks.forecast import Forecast, TableSize, forecast
from cleanup.engine.checks.result import CheckResult, block, ok, size, warn
from cleanup.engine.checks.setting import Setting
from cleanup.engine.free_disk import free_disk_bytes


@dataclass(frozen=True, slots=True)
class Expected:
    """By table how many rows will change, and how that is known."""

    changes: Mapping[str, int]
    source: str


def expected_of_plan(setting: Setting, plan_id: int) -> Expected:
    """What a plan says."""
    return Expected(planned_changes(setting.connection, plan_id), f"by plan {plan_id}")


def expected_of_newest_plan(setting: Setting) -> Expected | None:
    """What the newest plan of this policy and config says, if there is one."""
    job = setting.job
    found = attempt(
        setting.connection,
        lambda: newest_plan(setting.connection, job.policy.digest, job.config.result_settings()),
    )
    return None if found is None or isinstance(found, Unreadable) else expected_of_plan(setting, found)


def space(setting: Setting, expected: Expected) -> Iterator[CheckResult]:
    """The forecast, and whether the disk has room for it."""
    page_writes = settings(setting.connection, ["full_page_writes"])["full_page_writes"] == "on"
    sizes = [_size_of(setting, posts, expected.changes.get(posts.table.name, 0)) for posts in setting.posts]
    run = forecast(sizes, full_page_writes=page_writes)
    value = (
        f"up to {size(run.wal_bytes)} of WAL, {size(run.bloat_bytes)} in the tables, {size(run.ledger_bytes)} in the "
        f"ledger, for {run.changes:,} changes {expected.source}"
    )
    yield ok(CheckName.SPACE_FORECAST, "", value)
    yield judge_disk(run, free_disk_bytes(setting.connection, setting.job.config.check))


def _size_of(setting: Setting, posts: Posts, changes: int) -> TableSize:
    leaves = leaf_health(setting.connection, posts)
    pages = tuple(one.pages for one in indexes(setting.connection, posts))
    # A partitioned table has each index once for every leaf: one entry a row goes into one of them.
    wide = -(-len(pages) // max(len(leaves), 1))
    by_index = tuple(sum(pages[number::wide]) for number in range(wide))
    return TableSize(changes, sum(leaf.rows for leaf in leaves), sum(leaf.pages for leaf in leaves), by_index)


def judge_disk(run: Forecast, free: int | str) -> CheckResult:
    """Whether so many bytes are enough; `free` may say why nobody knows."""
    if isinstance(free, str):
        return warn(
            CheckName.DISK_SPACE,
            "",
            f"unknown: {free}",
            f"set free_disk_query or free_disk_command; the run may need {size(run.total_bytes)}.",
        )
    value = f"{size(free)} free, up to {size(run.total_bytes)} needed"
    if free < run.total_bytes:
        return block(CheckName.DISK_SPACE, "", value, "make room first: a full disk stops the whole server.")
    if free < 2 * run.total_bytes:
        return warn(CheckName.DISK_SPACE, "", value, "a rollback would need as much again: make room for that too.")
    return ok(CheckName.DISK_SPACE, "", value)
