"""Replication: where a changed post, and the ledger, would travel, and what stands in the way."""

from collections.abc import Iterator, Sequence
from typing import Final

from cleanup.check_names import CheckName
from cleanup.db.check_replication import (
    Slot,
    Standby,
    publications_of_ledger,
    publications_of_posts,
    replica_identities,
    slots,
    standbys,
    subscriptions_into,
)
from cleanup.db.check_server import settings
from cleanup.db.checks import Posts
from cleanup.engine.checks.result import CheckResult, block, named, ok, size, warn
from cleanup.engine.checks.setting import Setting, unknown

_FULL: Final = "f"
# What a reader may be behind before the run is better put off.
_MUCH_WAL: Final = 1 << 30
_MUCH_LAG: Final = 64 << 20
_KEPT: Final = frozenset({"reserved", "extended"})


def publications(setting: Setting) -> Iterator[CheckResult]:
    """Publications of the ledger and of the posts."""
    carrying = publications_of_ledger(setting.connection)
    for one in carrying:
        scope = "is FOR ALL TABLES" if one.is_for_all_tables else "names it or its schema"
        yield block(
            CheckName.PUBLICATION_LEDGER,
            one.name,
            f"{scope}: subscribers need the ledger's tables, or stop, and receive the removed links",
            "name the published tables instead, without the schema cleanup.",
        )
    if not carrying:
        yield ok(CheckName.PUBLICATION_LEDGER, "", "none carries the ledger")
    for posts in setting.posts:
        names = publications_of_posts(setting.connection, posts)
        if names:
            yield warn(
                CheckName.PUBLICATIONS,
                posts.table.name,
                f"changed rows go to the subscribers of {named(names)}",
                "tell whoever reads them how many changes come, and whether what they keep has to be cleaned too.",
            )
        else:
            yield ok(CheckName.PUBLICATIONS, posts.table.name, "none carries its changes")
        yield from _identity(setting, posts)


def _identity(setting: Setting, posts: Posts) -> Iterator[CheckResult]:
    found = replica_identities(setting.connection, posts)
    lacking = [one.leaf for one in found if not one.is_there]
    whole = [one.leaf for one in found if one.letter == _FULL]
    if lacking:
        yield block(
            CheckName.REPLICA_IDENTITY,
            posts.table.name,
            f"published without one: {named(lacking)}; the server refuses every UPDATE there",
            "ALTER TABLE ... REPLICA IDENTITY USING INDEX a unique index, or add a primary key.",
        )
    if whole:
        yield warn(
            CheckName.REPLICA_IDENTITY,
            posts.table.name,
            f"FULL on {named(whole)}: each old text, with its links, goes into the WAL and to subscribers",
            "a primary key as replica identity sends the key alone.",
        )
    if not lacking and not whole:
        yield ok(CheckName.REPLICA_IDENTITY, posts.table.name, "good enough for who reads it")


def replication_slots(setting: Setting) -> Iterator[CheckResult]:
    """Slots: what nobody reads piles up until the disk is full."""
    found = slots(setting.connection)
    if not found:
        yield ok(CheckName.REPLICATION_SLOTS, "", "there is none")
    for slot in found:
        yield _slot(slot)


def _slot(slot: Slot) -> CheckResult:
    what = f"{slot.kind}, keeps {size(max(slot.retained_bytes, 0))} of WAL, {slot.wal_status}"
    if not slot.is_active:
        return block(
            CheckName.REPLICATION_SLOTS,
            slot.name,
            f"nobody reads it: {what}",
            "drop it if its reader is gone for good, or wait for the reader: all the run's WAL would be kept for it.",
        )
    if slot.wal_status not in _KEPT or slot.retained_bytes > _MUCH_WAL:
        return warn(
            CheckName.REPLICATION_SLOTS,
            slot.name,
            f"its reader is far behind: {what}",
            "wait until it has caught up; the run adds to what it has to read.",
        )
    return ok(CheckName.REPLICATION_SLOTS, slot.name, f"read by somebody: {what}")


def streams(setting: Setting) -> Iterator[CheckResult]:
    """Standbys and other readers of WAL, and whether commits wait for one."""
    waited_for = settings(setting.connection, ["synchronous_standby_names"])["synchronous_standby_names"]
    yield from judge_streams(standbys(setting.connection), waited_for)


def judge_streams(found: Sequence[Standby], waited_for: str | None) -> Iterator[CheckResult]:
    """The same, from what the server said."""
    hidden = [one for one in found if one.state is None]
    behind = [f"{one.name} by {size(one.lag_bytes)}" for one in found if one.lag_bytes > _MUCH_LAG]
    if hidden:
        yield unknown(CheckName.STANDBYS, f"{len(hidden)} stream(s) of WAL are hidden from this role")
    if behind:
        yield warn(
            CheckName.STANDBYS, "", f"behind: {named(behind)}", "wait until it has caught up; the run adds to that."
        )
    if waited_for:
        yield warn(
            CheckName.STANDBYS,
            "",
            f"every commit waits for a standby ({waited_for})",
            "a standby that is slow or gone holds up each batch, with its row locks.",
        )
    if not hidden and not behind and not waited_for:
        shown = named([f"{one.name} ({one.sync_state})" for one in found]) or "none"
        yield ok(CheckName.STANDBYS, "", shown)


def subscriptions(setting: Setting) -> Iterator[CheckResult]:
    """Tables that are themselves filled from elsewhere."""
    for posts in setting.posts:
        names = subscriptions_into(setting.connection, posts)
        if names:
            yield block(
                CheckName.SUBSCRIPTIONS,
                posts.table.name,
                f"filled by subscription {named(names)}: the publisher's next change of a post brings its links back",
                "run the job on the publisher, whose changes arrive here by themselves.",
            )
        else:
            yield ok(CheckName.SUBSCRIPTIONS, posts.table.name, "filled by no subscription")
