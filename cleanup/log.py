"""Structured events on standard error; names come from a closed catalogue, values never hold a post's text."""

import sys
from typing import TYPE_CHECKING, cast

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


def configure_logging() -> None:
    """Send events to standard error: as JSON lines in a pipe, as aligned text on a terminal."""
    on_terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        # The stream is looked up at each event, since a test or a parent may replace it.
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def bind(**values: int | str) -> None:
    """Add run, chunk, batch or lane to every later event of this process."""
    structlog.contextvars.bind_contextvars(**values)


def get_logger() -> "FilteringBoundLogger":
    """The process's logger."""
    return cast("FilteringBoundLogger", structlog.get_logger())
