"""Options that several verbs share, and what they lead to."""

import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TypeVar

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


def load_job(config_file: Path, dsn: str, lanes: int | None = None) -> Job:
    """The job that a config file describes; `lanes` takes the place of the config's."""
    config = load_config(config_file)
    if lanes is not None:
        config = config.with_lanes(lanes)
    return Job(dsn=dsn, config=config, policy=load_policy(config.policy), pattern_cache=_pattern_cache())


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
