"""A fixed-rate load of authors: point UPDATEs and SELECTs on the same table, each timed from when it was due."""

import multiprocessing
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, Self

import psycopg

from cleanup.config import Pace
from cleanup.engine.lane_priority import come_after_others

# A site that is awake: so many authors, and so many statements a second from all of them together.
AUTHORS: Final = 8
PER_SECOND: Final = 1_000
_NAME: Final = "authors"
_HOW: Final = (
    "--no-vacuum",
    "--protocol=prepared",
    f"--client={AUTHORS}",
    f"--jobs={AUTHORS}",
    f"--rate={PER_SECOND}",
    "--time=86400",
    "--progress=1",
    "--log",
)
_WORK: Final = {
    "write.sql": "\\set id random(1, {rows})\nUPDATE note SET author_id = author_id WHERE id = :id;\n",
    "read.sql": "\\set id random(1, {rows})\nSELECT body FROM note WHERE id = :id;\n",
}
# What pgbench says each second of how late statements began. Authors have caught up where that is next to nothing.
_LATE_MS: Final = re.compile(r"^progress: .* lag ([0-9.]+) ms", re.MULTILINE)
_CAUGHT_UP_MS: Final = 5.0
_LOOK_AGAIN_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Latency:
    """In milliseconds."""

    median: float
    p99: float
    longest: float

    @classmethod
    def of(cls, rounds: Sequence[Sequence[float]]) -> Self:
        """What so many statements took: the medians of the rounds, and the longest of all."""
        ordered = [sorted(taken) for taken in rounds]
        return cls(
            median(taken[len(taken) // 2] for taken in ordered),
            median(taken[int(len(taken) * 0.99)] for taken in ordered),
            max(taken[-1] for taken in ordered),
        )


def felt_during(pgbench: str, dsn: str, rows: int, work: Callable[[], object]) -> list[float]:
    """Let authors write while `work` runs; how many milliseconds each statement took that fell due meanwhile."""
    with tempfile.TemporaryDirectory(prefix="cleanup-authors-") as name:
        authors = _Authors(pgbench, dsn, rows, Path(name))
        try:
            authors.wait_until_caught_up()
            begun = time.time()
            work()
            ended = time.time()
            # What fell due while a statement waited is late as well: it is still made, and counted.
            authors.wait_until_caught_up()
        finally:
            authors.dismiss()
        return [ms for due, ms in authors.taken() if begun <= due < ended]


class _Authors:
    """Each is a thread and a connection of one pgbench, which is a session of its own."""

    def __init__(self, pgbench: str, dsn: str, rows: int, folder: Path) -> None:
        self._dsn = dsn
        self._folder = folder
        self._said = folder / "said"
        scripts = []
        for name, text in _WORK.items():
            (folder / name).write_text(text.format(rows=rows), encoding="ascii")
            scripts.append(f"--file={folder / name}")
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [pgbench, *_HOW, f"--log-prefix={folder / 'log'}", *scripts, f"{dsn} application_name={_NAME}"],
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )

    def wait_until_caught_up(self) -> None:
        """Until no statement was late in a whole second that began after now."""
        seconds = len(self._late_ms())
        while not any(late_ms < _CAUGHT_UP_MS for late_ms in self._late_ms()[seconds + 1 :]):
            if self._process.poll() is not None:
                raise RuntimeError(f"pgbench ended\n{self._said.read_text(encoding='utf-8')[-2000:]}")
            time.sleep(_LOOK_AGAIN_SECONDS)

    def _late_ms(self) -> list[float]:
        return [float(late_ms) for late_ms in _LATE_MS.findall(self._said.read_text(encoding="utf-8"))]

    def dismiss(self) -> None:
        """End their sessions: pgbench then ends as well, and has written what it knows, which a signal would lose."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (_NAME,)
            )
        self._process.wait()

    def taken(self) -> Iterator[tuple[float, float]]:
        """When each statement was due, in seconds since 1970, and how many milliseconds later it was done."""
        for log in self._folder.glob("log*"):
            for line in log.read_text(encoding="ascii").splitlines():
                _, _, microseconds, _, at_seconds, at_microseconds, *_ = line.split()
                # One whose session was ended has a word there.
                if microseconds.isdigit():
                    done = int(at_seconds) + int(at_microseconds) / 1e6
                    yield done - int(microseconds) / 1e6, int(microseconds) / 1e3


@contextmanager
def bystanders(processes: int) -> Iterator[None]:
    """So many processes that compute at the priority of lanes and never touch a database.

    What authors feel beside them is the doing of the machine alone.
    """
    context = multiprocessing.get_context("spawn")
    present = [context.Process(target=_compute, daemon=True) for _ in range(processes)]
    for bystander in present:
        bystander.start()
    try:
        yield
    finally:
        for bystander in present:
            bystander.kill()
            bystander.join()


def _compute() -> None:
    come_after_others(Pace().niceness)
    while True:
        sum(range(1_000))
