"""A transaction-pooling proxy for the tests: Debian's pgbouncer, from the system or unpacked into pytest's own cache.

Unpacked, since an installed one would run as a service, and unpacking needs no root. Where it can not be had, the
tests that need it do not run, and the session says so at its end; with CLEANUP_TEST_PG=all it fails instead.

Fixture: `start_pooler`.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import psycopg
import pytest

from cleanup.demo.binaries import unprivileged_user
from cleanup.demo.folders import DIRECTORY_VARIABLE
from cleanup.demo.server import PORT, SUPERUSER, Server

_ABSENT: Final = "pgbouncer is absent"
_HINT: Final = "apt-get install pgbouncer"
_LISTENS_AT: Final = 6432
_READY_SECONDS: Final = 20.0
_CONFIG: Final = """
[databases]
* = host={server} port={server_port} user={user}

[pgbouncer]
pool_mode = transaction
default_pool_size = {pool_size}
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = any
logfile = {folder}/log
pidfile = {folder}/pid
server_login_retry = 1
query_wait_timeout = 45
"""


@dataclass(frozen=True, slots=True)
class _Program:
    path: Path
    libraries: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the program needs to find its libraries."""
        found = {"LD_LIBRARY_PATH": str(self.libraries)} if self.libraries is not None else {}
        return {"PATH": os.defpath, **found}

    def runs(self) -> bool:
        """Whether it can be run here."""
        if not self.path.exists():
            return False
        answer = subprocess.run(
            [str(self.path), "--version"], check=False, capture_output=True, env=self.environment, cwd="/"
        )
        return answer.returncode == 0

    def copied_to(self, folder: Path) -> "_Program":
        """The same where everybody can reach it: whoever it runs as may not enter the folder of the tests."""
        if self.libraries is None:
            return self
        shutil.copytree(self.libraries, folder / "lib")
        return _Program(Path(shutil.copy(self.path, folder)), folder / "lib")


@dataclass(slots=True)
class Pooler:
    """A running pgbouncer before one server, and before every database of it."""

    server: Server
    pool_size: int
    program: _Program
    folder: Path = field(default_factory=Path)
    _process: "subprocess.Popen[bytes] | None" = None

    def dsn(self, direct: str) -> str:
        """The connection string that leads through the pool to where `direct` leads."""
        return psycopg.conninfo.make_conninfo(direct, host=str(self.folder), port=_LISTENS_AT)

    def start(self) -> None:
        """Start it; returns when it answers."""
        user = unprivileged_user()
        if self.folder == Path():
            self.folder = Path(tempfile.mkdtemp(prefix="pooler-", dir=os.environ[DIRECTORY_VARIABLE]))
            config = _CONFIG.format(
                server=self.server.host,
                server_port=PORT,
                user=SUPERUSER,
                pool_size=self.pool_size,
                port=_LISTENS_AT,
                folder=self.folder,
            )
            (self.folder / "pgbouncer.ini").write_text(config, encoding="utf-8")
            self.program = self.program.copied_to(self.folder)
            if user is not None:
                os.chown(self.folder, user.user_id, user.group_id)
        self._process = subprocess.Popen(
            [str(self.program.path), "--quiet", str(self.folder / "pgbouncer.ini")],
            env=self.program.environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_the_tests if sys.platform == "linux" else None,  # noqa: PLW1509 -- one call, no lock
            user=user.user_id if user else None,
            group=user.group_id if user else None,
            extra_groups=[] if user else None,
        )
        self._wait_until_ready()

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            # What a killed one leaves behind keeps the next one from starting.
            for left in (self.folder / "pid", self.folder / f".s.PGSQL.{_LISTENS_AT}"):
                left.unlink(missing_ok=True)

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + _READY_SECONDS
        while True:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.dsn(self.server.dsn())).close()
                return
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > give_up:
                log = self.folder / "log"
                pytest.fail(f"pgbouncer did not start\n{log.read_text() if log.exists() else ''}", pytrace=False)
            time.sleep(0.02)  # it has no other word on its readiness


StartPooler = Callable[[Server, int], Pooler]


@pytest.fixture
def start_pooler(request: pytest.FixtureRequest) -> Iterator[StartPooler]:
    """Start pgbouncer before a server, with so many connections to each database."""
    program = _program(request.config)
    started: list[Pooler] = []

    def start(server: Server, pool_size: int) -> Pooler:
        started.append(Pooler(server, pool_size, program))
        started[-1].start()
        return started[-1]

    yield start
    for pooler in started:
        pooler.kill()


def _program(config: pytest.Config) -> _Program:
    found = _find(config.cache.mkdir("pgbouncer") if config.cache is not None else None)
    if found is not None:
        return found
    if os.environ.get("CLEANUP_TEST_PG") == "all":
        pytest.fail(f"{_ABSENT}\nHINT: {_HINT}", pytrace=False)
    pytest.skip(f"{_ABSENT}: {_HINT}")


@cache
def _find(kept_in: Path | None) -> _Program | None:
    installed = _Program(Path(shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin") or "/"))
    if installed.path != Path("/") and installed.runs():
        return installed
    if kept_in is None:
        return None
    with (kept_in / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several workers one unpacks
        unpacked = _unpacked(kept_in)
        if not unpacked.runs():
            _unpack(kept_in)
            unpacked = _unpacked(kept_in)
        return unpacked if unpacked.runs() else None


def _unpacked(folder: Path) -> _Program:
    libraries = next(folder.glob("root/usr/lib/*-linux-gnu"), None)
    return _Program(folder / "root/usr/sbin/pgbouncer", libraries)


def _unpack(folder: Path) -> None:
    """Fetch Debian's package and unpack it, and then the libraries that it names where some of them are missing."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return
    if not _fetched(folder, ["pgbouncer"]) and os.geteuid() == 0:
        subprocess.run(["apt-get", "-qq", "update"], check=False, capture_output=True, timeout=300)
        _fetched(folder, ["pgbouncer"])
    if not _unpacked(folder).runs():
        named = subprocess.run(["apt-cache", "depends", "pgbouncer"], check=False, capture_output=True, text=True)
        words = [line.split() for line in named.stdout.splitlines()]
        libraries = [
            rest[1] for rest in words if len(rest) == 2 and rest[0] == "Depends:" and rest[1].startswith("lib")
        ]
        for library in libraries:
            # The C library itself is the system's, whatever else is.
            if library != "libc6":
                _fetched(folder, [library])
    # The pool runs as somebody else where we are root.
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))


def _fetched(folder: Path, packages: list[str]) -> bool:
    with tempfile.TemporaryDirectory() as place:
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                ["apt-get", "-qq", "download", *packages], check=False, capture_output=True, cwd=place, timeout=120
            )
        archives = list(Path(place).glob("*.deb"))
        for archive in archives:
            subprocess.run(["dpkg", "-x", str(archive), str(folder / "root")], check=True, capture_output=True)
    return bool(archives)


def _die_with_the_tests() -> None:
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud what did not run for want of the pool."""
    skipped = [
        report.nodeid
        for report in terminalreporter.stats.get("skipped", [])
        if _ABSENT in str(getattr(report, "longrepr", ""))
    ]
    if skipped:
        terminalreporter.section(f"{_ABSENT}: NOTHING WAS TRIED THROUGH A TRANSACTION POOL", red=True, bold=True)
        for nodeid in skipped:
            terminalreporter.line(f"did not run: {nodeid}")
        terminalreporter.line(f"HINT: {_HINT}")
