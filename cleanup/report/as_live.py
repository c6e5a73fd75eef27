"""What moves on a terminal: a bar of one line while a job works, and the screen of `status --watch`."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cleanup.report.as_lines import (
    LANE_HEAD,
    SETTING_HEAD,
    SIGNAL_HEAD,
    came_of,
    counted,
    held_by,
    lane_rows,
    name_of,
    pace_of,
    setting_rows,
    signal_rows,
    wal_line,
)
from cleanup.report.progress_model import Look, RunLook, Standing

_BAR_COLUMNS: Final = 24


class Bar:
    """One line at the bottom of standard error: events of this and other processes take its place, and it moves on.

    It is one line for that reason, whatever the terminal's width: who clears it need not know how high it is.
    """

    def __init__(self) -> None:
        # Only drawn when it is told to: no thread, and what others print is left alone.
        self._live = Live(
            console=Console(stderr=True), auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

    def __enter__(self) -> Self:
        """Take the line."""
        # A countdown may have been there.
        self._live.console.file.write("\r\x1b[2K")
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave it as it was drawn last."""
        self._live.stop()

    def draw(self, look: Look) -> None:
        """Draw the line anew."""
        # What matters most comes first: a narrow terminal cuts the rest off.
        self.draw_line(name_of(look), look.share, counted(look), held_by(look), pace_of(look), came_of(look))

    def draw_line(self, name: str, share: float | None, *words: str) -> None:
        """The same for other work."""
        self._live.update(_bar(name, share, words), refresh=True)


class Screen:
    """The whole of a look on standard output, drawn over itself."""

    def __init__(self) -> None:
        self._live = Live(console=Console(), auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last look."""
        self._live.stop()

    def draw(self, look: Look) -> None:
        """Draw one look."""
        self._live.update(Group(*_parts(look)), refresh=True)


def _bar(name: str, share: float | None, words: Iterable[str]) -> RenderableType:
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(no_wrap=True)
    cells: list[RenderableType] = [Text(name)]
    said = [word for word in words if word]
    if share is not None:
        line.add_column(width=_BAR_COLUMNS)
        cells.append(ProgressBar(total=1.0, completed=share, width=_BAR_COLUMNS))
        said.insert(0, f"{share:.1%}")
    line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    line.add_row(*cells, Text(" · ".join(said)))
    return line


def _parts(look: Look) -> Iterable[RenderableType]:
    yield _bar(name_of(look), look.share, [counted(look), pace_of(look)])
    elapsed = timedelta(seconds=int(((look.finished_at or look.at) - look.started_at).total_seconds()))
    wal = wal_line(look) if isinstance(look, RunLook) else ""
    yield Text("  ".join(part for part in (f"{look.at:%H:%M:%S} UTC", f"since {elapsed}", came_of(look), wal) if part))
    held = held_by(look)
    if held:
        yield Text(held, style="bold yellow" if look.standing is not Standing.ENDED else "bold")
    if isinstance(look, RunLook) and look.settings:
        yield _table(SETTING_HEAD, list(setting_rows(look)))
    lanes = list(lane_rows(look))
    yield _table(LANE_HEAD, lanes) if lanes else Text("no lane works", style="dim")
    if isinstance(look, RunLook) and look.signals:
        yield _table(SIGNAL_HEAD, list(signal_rows(look)))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(*head, box=None, padding=(0, 2, 0, 0), header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
