"""Structured events on standard error; names come from a closed catalogue, values never hold a post's text."""

import importlib
import logging
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cleanup.event_catalogue import Event, Level

if TYPE_CHECKING:
    import structlog
else:
    # Where rich is there, structlog imports it for tracebacks, which nobody is shown here: more than half of the time
    # that it takes, in each lane and for each --help.
    _hides_rich = "rich" not in sys.modules
    if _hides_rich:
        sys.modules["rich"] = None
    try:
        structlog = importlib.import_module("structlog")
    finally:
        if _hides_rich:
            del sys.modules["rich"]

Field = int | float | str | None | Mapping[str, int]

_LEVELS: Final = {Level.INFO: logging.INFO, Level.WARNING: logging.WARNING}
# What a bar of this or another process has drawn on the line gives way to the event, and is drawn anew below it.
_CLEAR_LINE: Final = "\r\x1b[2K"


def configure_logging() -> None:
    """Send events to standard error: as JSON lines in a pipe, as aligned text on a terminal."""
    renderer: structlog.typing.Processor
    renderer = _Terminal() if sys.stderr.isatty() else structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        # One write a line, with its end: lanes share the stream, and what is printed in two parts gets mixed up.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


@contextmanager
def bound(**values: int | str) -> Iterator[None]:
    """Meanwhile every event of this thread carries these values, and every statement names run or plan."""
    with structlog.contextvars.bound_contextvars(**values):
        yield


def bound_values() -> Mapping[str, object]:
    """What this thread is at work on: the values that are bound."""
    return structlog.contextvars.get_contextvars()


def tell(event: Event, **fields: Field) -> None:
    """Log an event with its own fields and what is bound."""
    structlog.get_logger().log(_LEVELS[event.value.level], event.value.name, **fields)


class _Terminal:
    """Events as aligned text; those that the bar shows anyway are left out."""

    def __init__(self) -> None:
        self._render = structlog.dev.ConsoleRenderer()
        self._routine = frozenset(event.value.name for event in Event if event.value.routine)

    def __call__(
        self, logger: "structlog.typing.WrappedLogger", method: str, event: MutableMapping[str, object]
    ) -> str:
        """The event as a line of its own."""
        if event["event"] in self._routine:
            raise structlog.DropEvent
        return f"{_CLEAR_LINE}{self._render(logger, method, event)}"
