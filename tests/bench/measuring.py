"""Wall time, CPU time of client and server, WAL bytes and peak memory of one piece of work."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_LOOK_EVERY_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """One piece of work. CPU times are those of the processes that it started and of the server's."""

    seconds: float
    client_cpu_seconds: float
    server_cpu_seconds: float
    wal_bytes: int
    lane_peak_bytes: int


class Meter:
    """Measures work against one server."""

    def __init__(self, dsn: str, postmaster: int) -> None:
        self._dsn = dsn
        self._postmaster = postmaster

    def measure(self, work: Callable[[], object]) -> Measured:
        """Do the work and say what it took."""
        wal, server, client = self._wal(), _tree_cpu(self._postmaster), _children_cpu()
        with _watching_memory() as peak:
            started = time.perf_counter()
            work()
            seconds = time.perf_counter() - started
        return Measured(
            seconds,
            _children_cpu() - client,
            _tree_cpu(self._postmaster) - server,
            self._wal() - wal,
            peak[0],
        )

    def _wal(self) -> int:
        with psycopg.connect(self._dsn) as connection:
            row = connection.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
        assert row is not None
        return int(row[0])


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _tree_cpu(postmaster: int) -> float:
    """CPU seconds of the postmaster, of its children, and of those that have ended."""
    fields = _stat(postmaster)
    ticks = sum(int(field) for field in fields[11:15])
    for child in _children(postmaster):
        try:
            ticks += sum(int(field) for field in _stat(child)[11:13])
        except OSError:
            continue
    return ticks / _TICKS


def _stat(process: int) -> list[str]:
    return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def _children(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


@contextmanager
def _watching_memory() -> Iterator[list[int]]:
    """The highest resident size of any process below this one, looked at again and again."""
    peak, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK_EVERY_SECONDS):
            waiting = _children(os.getpid())
            while waiting:
                process = waiting.pop()
                waiting += _children(process)
                peak[0] = max(peak[0], _lane_peak(process))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def _lane_peak(process: int) -> int:
    try:
        if "multiprocessing" not in Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8"):
            return 0
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)
