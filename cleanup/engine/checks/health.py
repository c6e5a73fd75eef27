"""The tables' health: room in the pages, vacuum, locks, old transactions, collations, partitions on the move."""

from collections.abc import Iterator, Sequence
from typing import Final

from cleanup.check_names import CheckName
from cleanup.db.check_health import (
    LeafHealth,
    OldTransaction,
    OldXmin,
    autovacuum_runs,
    changed_collations,
    detaching_partitions,
    leaf_health,
    old_transactions,
    old_xmins,
    sees_all_sessions,
    table_locks,
)
from cleanup.db.check_indexes import indexes
from cleanup.db.checks import Posts
from cleanup.engine.checks.result import CheckResult, block, named, ok, warn
from cleanup.engine.checks.setting import Setting, unknown

# A smaller table is vacuumed in no time, whatever its pages look like.
_SMALL_PAGES: Final = 1_000
_MANY_DEAD: Final = 0.2
_FEW_ROWS: Final = 1_000
# What a standby may hold back; a busy server gives out so many numbers within minutes to hours.
_OLD_XMIN: Final = 1_000_000
# A vacuum against wraparound does not give way to anybody.
_NEAR_FREEZE: Final = 0.9


def storage(setting: Setting) -> Iterator[CheckResult]:
    """Room for new row versions, and whether vacuum clears the old ones away."""
    runs = autovacuum_runs(setting.connection)
    if not runs:
        yield warn(
            CheckName.AUTOVACUUM,
            "",
            "autovacuum or track_counts is off on this server",
            "turn it on, or VACUUM by hand during the run: old row versions stay until somebody does.",
        )
    for posts in setting.posts:
        leaves = leaf_health(setting.connection, posts)
        yield _fillfactor(setting, posts, leaves)
        worries = list(vacuum_worries(leaves))
        if worries:
            yield warn(
                CheckName.AUTOVACUUM,
                posts.table.name,
                named(worries),
                "VACUUM (FREEZE where it is near the limit) before the cutover, and leave autovacuum on for the run.",
            )
        elif runs:
            yield ok(CheckName.AUTOVACUUM, posts.table.name, "on, and not behind")


def _fillfactor(setting: Setting, posts: Posts, leaves: list[LeafHealth]) -> CheckResult:
    version = setting.connection.info.server_version
    full = [leaf.name for leaf in leaves if leaf.fillfactor == 100 and leaf.pages > _SMALL_PAGES]
    found = indexes(setting.connection, posts)
    lowest = min(leaf.fillfactor for leaf in leaves)
    # Where an index over a written column forbids it anyway, room in the page gains nothing.
    if not full or any(one.hinders_hot_update(version) for one in found):
        return ok(CheckName.FILLFACTOR, posts.table.name, f"{lowest}")
    return warn(
        CheckName.FILLFACTOR,
        posts.table.name,
        f"100 on {named(full)}: full pages have no room for a changed row",
        "a lower fillfactor holds for newly written pages alone, so this is for the next time; VACUUM first.",
    )


def vacuum_worries(leaves: list[LeafHealth]) -> Iterator[str]:
    """What keeps vacuum from clearing away after the run, leaf by leaf."""
    for leaf in leaves:
        if not leaf.autovacuum_enabled:
            yield f"{leaf.name} has autovacuum_enabled = off"
        if leaf.dead_rows > max(_FEW_ROWS, _MANY_DEAD * leaf.live_rows):
            yield f"{leaf.name} has {leaf.dead_rows:,} dead rows beside {leaf.live_rows:,}"
        if leaf.xid_age > _NEAR_FREEZE * leaf.freeze_max_age:
            yield f"{leaf.name} is {leaf.xid_age:,} transactions old and will be frozen at {leaf.freeze_max_age:,}"


def partitions(setting: Setting) -> Iterator[CheckResult]:
    """Partitions that are coming or going, and other strong locks on the tables."""
    for posts in setting.posts:
        name = posts.table.name
        detaching = detaching_partitions(setting.connection, posts)
        if detaching:
            yield block(
                CheckName.PARTITIONS,
                name,
                f"a DETACH CONCURRENTLY was not finished: {named(detaching)}",
                "ALTER TABLE ... DETACH PARTITION ... FINALIZE, then plan again.",
            )
        locks = table_locks(setting.connection, posts)
        moving = [lock for lock in locks if lock.is_partitioned]
        if moving:
            yield warn(
                CheckName.PARTITIONS,
                name,
                f"session {moving[0].pid} holds {moving[0].mode} on {moving[0].table}",
                "a partition may be coming or going: wait; a partition that nobody planned is refused by apply.",
            )
        if not detaching and not moving:
            yield ok(CheckName.PARTITIONS, name, "none is coming or going")
        others = [
            f"{lock.held_by} {lock.pid} {'holds' if lock.granted else 'waits for'} {lock.mode} on {lock.table}"
            for lock in locks
            if not lock.is_partitioned
        ]
        if others:
            yield warn(
                CheckName.TABLE_LOCKS,
                name,
                named(others),
                "batches wait lock_timeout_ms for it, then try again; better wait until it is done.",
            )
        else:
            yield ok(CheckName.TABLE_LOCKS, name, "nobody holds a lock that a batch would wait for")


def long_transactions(setting: Setting) -> Iterator[CheckResult]:
    """Old transactions, here or on a standby, which keep every row version that the run replaces."""
    connection, limit = setting.connection, setting.job.config.check.long_transaction_seconds
    yield judge_horizon(
        limit,
        old_transactions(connection, limit),
        old_xmins(connection, _OLD_XMIN),
        sees_all=sees_all_sessions(connection),
    )


def judge_horizon(
    limit: int, transactions: Sequence[OldTransaction], xmins: Sequence[OldXmin], *, sees_all: bool
) -> CheckResult:
    """The same, from what the server said."""
    name = CheckName.LONG_TRANSACTIONS
    found = [f"{one.what} for {one.seconds:,} s" for one in transactions]
    found += [f"{one.what} by {one.transactions:,} transactions" for one in xmins]
    if found:
        hint = "end them before the cutover: no old row version is cleared away while they last."
        return warn(name, "", f"{named(found)}; the limit is {limit:,} s", hint)
    if not sees_all:
        return unknown(name, "other roles' sessions are hidden from this role")
    return ok(name, "", f"none is older than {limit:,} s")


def collations(setting: Setting) -> Iterator[CheckResult]:
    """A library that sorts otherwise than it did: indexes of text may miss rows, and so may the plan."""
    for posts in setting.posts:
        changed = [
            f"{one.name}: {one.recorded} then, {one.actual or 'none'} now"
            for one in changed_collations(setting.connection, posts)
        ]
        if changed:
            yield block(
                CheckName.COLLATIONS,
                posts.table.name,
                named(changed),
                "REINDEX what uses it, then ALTER COLLATION (or DATABASE) ... REFRESH COLLATION VERSION.",
            )
        else:
            yield ok(CheckName.COLLATIONS, posts.table.name, "as they were recorded")
