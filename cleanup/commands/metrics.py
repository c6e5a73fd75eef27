"""Where a job tells its numbers to a monitoring system: options, and what becomes of them while it works."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import click

from cleanup.config import Metrics
from cleanup.errors import CleanupError, MetricsUnusable
from cleanup.event_catalogue import Event
from cleanup.log import tell
from cleanup.report.metrics_model import Numbers

if TYPE_CHECKING:
    from cleanup.report.as_metrics import Exposition

_Command = TypeVar("_Command", bound=Callable[..., None])


def metrics_options(command: _Command) -> _Command:
    """--metrics-port and --metrics-file."""
    port = click.option(
        "--metrics-port",
        metavar="PORT",
        type=click.IntRange(0, 65_535),
        help="Tell the job's numbers at http://127.0.0.1:PORT/metrics; 0 takes a free port. The config names the host.",
    )
    file = click.option(
        "--metrics-file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Keep them in a .prom file for the textfile collector.",
    )
    return port(file(command))


def metrics_place(configured: Metrics, port: int | None, file: Path | None) -> Metrics:
    """What the config says, with what the options put in its place."""
    return replace(
        configured,
        port=configured.port if port is None else port,
        file=configured.file if file is None else file,
    )


class MetricsTeller:
    """Within `with` the job's numbers are told where somebody wants them; raises MetricsUnusable at the door.

    A file that can not be written later on does not stop a job: it is said once.
    """

    def __init__(self, place: Metrics) -> None:
        self._place = place
        self._exposition: Exposition | None = None
        self._is_unwritten = False

    @property
    def is_wanted(self) -> bool:
        """Whether anybody wants the numbers."""
        return self._place.port is not None or self._place.file is not None

    def __enter__(self) -> Self:
        """Open the endpoint, and write the file for the first time."""
        if not self.is_wanted:
            return self
        from cleanup.report.as_metrics import Exposition  # noqa: PLC0415 - slow to import, and seldom wanted

        self._exposition = Exposition()
        self._serve(self._exposition)
        if self._place.file is not None:
            try:
                self._exposition.write(self._place.file)
            except OSError as error:
                self._exposition.close()
                raise MetricsUnusable(
                    f"{self._place.file} can not be written: {error.strerror}",
                    hint="give --metrics-file, or [metrics] file, in a folder that exists and that the job may write.",
                ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write down how it ended, and close the endpoint."""
        if self._exposition is None:
            return
        if isinstance(error, CleanupError):
            self._exposition.fail(error.code)
        self._write(self._exposition)
        self._exposition.close()

    def take(self, numbers: Numbers) -> None:
        """Tell these from now on."""
        if self._exposition is not None:
            self._exposition.take(numbers)
            self._write(self._exposition)

    def _serve(self, exposition: "Exposition") -> None:
        if self._place.port is None:
            return
        try:
            port = exposition.serve(self._place.host, self._place.port)
        except OSError as error:
            raise MetricsUnusable(
                f"metrics can not be told at {self._place.host}:{self._place.port}: {error.strerror}",
                hint="another job may have the port: give each its own --metrics-port, or 0 for a free one.",
            ) from None
        tell(Event.METRICS_SERVED, host=self._place.host, port=port)

    def _write(self, exposition: "Exposition") -> None:
        if self._place.file is None:
            return
        try:
            exposition.write(self._place.file)
            self._is_unwritten = False
        except OSError as error:
            if not self._is_unwritten:
                tell(Event.METRICS_UNWRITTEN, file=str(self._place.file), error=error.strerror)
            self._is_unwritten = True
