"""Options that several verbs share, and what they lead to."""

import os
import re
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Final, TypeVar

import click

from cleanup.config_file import load_config
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.engine.job import Job
from cleanup.links.policy import load_policy

_Result = TypeVar("_Result")
_Command = TypeVar("_Command", bound=Callable[..., None])


class OutputFormat(Enum):
    """How a verb prints."""

    TEXT = "text"
    JSON = "json"


config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    default=Path("cleanup.toml"),
    show_default=True,
    help="The job config.",
)
dsn_option = click.option(
    "--dsn", default="", help="Connection string; without it libpq's own means hold (PG* variables, service files)."
)


_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")


def _seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """The seconds of a duration such as 90s, 45m or 2h30m; at least one."""
    if value is None:
        return None
    parts = _DURATION.fullmatch(value)
    hours, minutes, seconds = (int(part or 0) for part in parts.groups()) if parts else (0, 0, 0)
    total = hours * 3_600 + minutes * 60 + seconds
    if not total:
        raise click.BadParameter(f"{value!r} is no duration such as 90s, 45m or 2h30m.", context, parameter)
    return float(total)


max_runtime_option = click.option(
    "--max-runtime",
    metavar="DURATION",
    callback=_seconds,
    help="Stop after so long (90s, 45m, 2h30m) as SIGTERM does: exit 4, and the same command goes on.",
)


def format_option(command: _Command) -> _Command:
    """--format text|json."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice([one.value for one in OutputFormat]),
        default=OutputFormat.TEXT.value,
        show_default=True,
        callback=lambda _context, _parameter, value: OutputFormat(value),
        help="How to print.",
    )(command)


def job_options(command: _Command) -> _Command:
    """--config and --dsn."""
    return config_option(dsn_option(command))


def load_job(config_file: Path, dsn: str, lanes: int | None = None, max_runtime: float | None = None) -> Job:
    """The job that a config file describes, to be stopped in `max_runtime` seconds; `lanes` replace the config's."""
    deadline = time.monotonic() + max_runtime if max_runtime is not None else None
    config = load_config(config_file)
    if lanes is not None:
        config = config.with_lanes(lanes)
    return Job(
        dsn=dsn,
        config=config,
        policy=load_policy(config.policy),
        pattern_cache=_pattern_cache(),
        deadline=deadline,
    )


def look(dsn: str, verb: str, read: Callable[[Connection], _Result]) -> _Result:
    """Run a read-only transaction for a verb that only looks."""
    database = Database(dsn, f"cleanup {verb}")
    try:
        return database.transact(read, read_only=True, one_snapshot=True)
    finally:
        database.close()


def _pattern_cache() -> Path | None:
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME")
    if not base:
        return None
    root = Path(base) if os.environ.get("XDG_CACHE_HOME") else Path(base) / ".cache"
    return root / "cleanup"
