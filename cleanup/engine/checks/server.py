"""The server's settings: what a crash would cost, when it checkpoints, what it would break off, how full it is."""

from collections.abc import Iterator
from typing import Final

from cleanup.check_names import CheckName
from cleanup.db.check_server import archiver, base_backup, connection_room, settings
from cleanup.db.checks import Unreadable, attempt
from cleanup.engine.checks.result import CheckResult, block, ok, size, warn
from cleanup.engine.checks.setting import Setting, unknown

_SHOWN: Final = ("wal_level", "synchronous_commit", "full_page_writes", "wal_compression", "track_commit_timestamp")
_DURABLE: Final = ("fsync", "full_page_writes", "synchronous_commit")
_CHECKPOINTS: Final = ("max_wal_size", "checkpoint_timeout", "checkpoint_completion_target")
_BREAKERS: Final = ("idle_session_timeout", "transaction_timeout")
_FREQUENT_SECONDS: Final = 300
_SMALL_WAL_MB: Final = 1_024
# Beside each lane's two connections the job has one of its own, and somebody will look with `status`.
_BESIDE_LANES: Final = 2
_SPARE: Final = 5
_OLD_BACKUP_SECONDS: Final = 7 * 24 * 3600


def server_settings(setting: Setting) -> Iterator[CheckResult]:
    """The settings that a DBA asks for first, and those that lose commits."""
    found = settings(setting.connection, [*_SHOWN, *_DURABLE])
    shown = ", ".join(f"{name} = {found[name]}" for name in _SHOWN)
    version = setting.connection.info.server_version
    yield ok(CheckName.SERVER_SETTINGS, "", f"PostgreSQL {version // 10000}.{version % 10000}; {shown}")
    off = [name for name in _DURABLE if found[name] == "off"]
    if off:
        yield warn(
            CheckName.DURABILITY,
            "",
            f"off: {', '.join(off)}",
            "after a crash committed batches may be missing, or damaged: turn it on for the run.",
        )
    else:
        yield ok(CheckName.DURABILITY, "", "what is committed stays")


def checkpoints(setting: Setting) -> Iterator[CheckResult]:
    """How often the server checkpoints: after each one, the first change of a page is written whole."""
    found = settings(setting.connection, _CHECKPOINTS)
    wal_mb, seconds = int(found["max_wal_size"] or 0), int(found["checkpoint_timeout"] or 0)
    value = f"every {seconds:,} s or {size(wal_mb << 20)} of WAL"
    if wal_mb < _SMALL_WAL_MB or seconds < _FREQUENT_SECONDS:
        yield warn(
            CheckName.CHECKPOINTS,
            "",
            value,
            "raise max_wal_size and checkpoint_timeout for the run: each checkpoint makes the WAL of scattered rows "
            "several times as large.",
        )
    else:
        yield ok(CheckName.CHECKPOINTS, "", value)


def timeouts(setting: Setting) -> Iterator[CheckResult]:
    """Limits that the job does not set itself, and would be broken off by."""
    found = settings(setting.connection, _BREAKERS)
    active = [f"{name} = {found[name]} ms" for name in _BREAKERS if found[name] not in (None, "0")]
    if active:
        yield warn(
            CheckName.TIMEOUTS,
            "",
            ", ".join(active),
            "ALTER ROLE ... SET it to 0 for this role: a scan of a chunk may take longer, or a lane wait longer.",
        )
    else:
        yield ok(CheckName.TIMEOUTS, "", "none that the job does not set itself")


def connections(setting: Setting) -> Iterator[CheckResult]:
    """Room for the lanes."""
    free = connection_room(setting.connection).free()
    needed = 2 * setting.job.config.pace.lanes + _BESIDE_LANES
    value = f"{free} free, {needed} needed for {setting.job.config.pace.lanes} lane(s)"
    if free < needed:
        yield block(CheckName.CONNECTIONS, "", value, "lower lanes, or raise the limit of the role or the server.")
    elif free < needed + _SPARE:
        yield warn(CheckName.CONNECTIONS, "", value, "the application may find none left: lower lanes.")
    else:
        yield ok(CheckName.CONNECTIONS, "", value)


def archiving(setting: Setting) -> Iterator[CheckResult]:
    """Whether WAL is archived, and whether that works."""
    found = archiver(setting.connection)
    if found.mode == "off":
        yield ok(CheckName.ARCHIVING, "", "off")
    elif found.is_failing:
        yield warn(
            CheckName.ARCHIVING,
            "",
            f"failed {found.failed:,} time(s), last at {found.last_failed}, and not gone on since",
            "mend archive_command first: all the run's WAL would be kept until it works.",
        )
    else:
        yield ok(CheckName.ARCHIVING, "", f"{found.mode}; {found.archived:,} archived, last at {found.last_archived}")


def backup(setting: Setting) -> Iterator[CheckResult]:
    """The last base backup, where the WAL folder tells of one."""
    found = attempt(setting.connection, lambda: base_backup(setting.connection))
    if isinstance(found, Unreadable):
        yield unknown(CheckName.BASE_BACKUP, f"the WAL folder is closed to this role (SQLSTATE {found.sqlstate})")
    elif found.ended_at is None or found.age_seconds is None:
        yield warn(
            CheckName.BASE_BACKUP,
            "",
            "unknown: the WAL folder tells of none",
            "ask who makes the backups when the last one ended, and whether it was ever restored.",
        )
    else:
        ended = f"{found.ended_at:%Y-%m-%d %H:%M %Z}".strip()
        if found.age_seconds > _OLD_BACKUP_SECONDS:
            yield warn(CheckName.BASE_BACKUP, "", f"the last one ended {ended}", "make one before the cutover.")
        else:
            yield ok(CheckName.BASE_BACKUP, "", f"the last one ended {ended}")
