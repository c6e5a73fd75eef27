"""Real PostgreSQL servers for the tests: one per version and worker, started when first asked for.

CLEANUP_TEST_PG chooses the versions: 18 (the wheel's), 15 (Debian's), all (both, and each must be there).
Unset: 18, and 15 where it is installed. A version that was asked for and is not there is a failure.

Fixtures: `major`, `server` (shared), `own_server` (to kill and restart), `linguistic_collation`.
A test for one version alone says `@pytest.mark.parametrize("major", [18], indirect=True)`.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil
import pytest

from cleanup.demo import reaper
from cleanup.demo.binaries import ServerBinaries, find_debian_binaries, find_wheel_binaries, unprivileged_user
from cleanup.demo.folders import DIRECTORY_VARIABLE, PREFIX, choose_parent
from cleanup.demo.server import Server
from cleanup.errors import ServerUnavailable

WHEEL_MAJOR: Final = 18
DEBIAN_MAJOR: Final = 15
LINGUISTIC_LOCALE: Final = "en_US.UTF-8"
PATIENCE_SECONDS = 10.0  # what a watcher may need on a busy machine
_SESSION_PREFIX: Final = "cleanup-session-"
_session_directory = pytest.StashKey[Path]()


def binaries_of(major: int) -> ServerBinaries:
    """The programs of one column of the version matrix; raises ServerUnavailable."""
    return find_wheel_binaries() if major == WHEEL_MAJOR else find_debian_binaries(major)


def _debian_is_installed() -> bool:
    try:
        find_debian_binaries(DEBIAN_MAJOR)
    except ServerUnavailable:
        return False
    return True


def _wanted_majors() -> list[int]:
    choice = os.environ.get("CLEANUP_TEST_PG", "")
    both = [WHEEL_MAJOR, DEBIAN_MAJOR]
    if choice == "":
        return both if _debian_is_installed() else [WHEEL_MAJOR]
    if choice == "all":
        return both
    if choice in {str(major) for major in both}:
        return [int(choice)]
    raise pytest.UsageError(f"CLEANUP_TEST_PG is {choice!r}; it must be 18, 15 or all")


class Servers:
    """The shared servers of this worker, by major version."""

    def __init__(self, locales: Path) -> None:
        self.locales = locales
        self._running: dict[int, Server] = {}

    def running(self, major: int) -> Server:
        """The shared server of that version, started when first asked for."""
        if major not in self._running:
            self._running[major] = self.new(major)
        return self._running[major]

    def new(self, major: int) -> Server:
        """A further server of that version; the caller closes it."""
        # LOCPATH is read when a collation is first used, so the locale may be made later.
        try:
            return Server.start(binaries_of(major), environment={"LOCPATH": str(self.locales)})
        except ServerUnavailable as error:
            pytest.fail(f"{error.message}\nHINT: {error.hint}", pytrace=False)

    def close(self) -> None:
        """End them all."""
        for server in self._running.values():
            server.close()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The shared servers; all stay up to the end, however tests of the versions are mixed."""
    locales = Path(tempfile.mkdtemp(prefix="locales-", dir=os.environ[DIRECTORY_VARIABLE]))
    locales.chmod(0o755)
    registry = Servers(locales)
    yield registry
    registry.close()
    shutil.rmtree(locales)


@pytest.fixture(scope="session", params=_wanted_majors(), ids=lambda major: f"pg{major}")
def major(request: pytest.FixtureRequest) -> int:
    """The server version of this round of the tests."""
    return int(request.param)


@pytest.fixture(scope="session")
def server(servers: Servers, major: int) -> Server:
    """The worker's shared server; tests neither stop nor reconfigure it."""
    return servers.running(major)


@pytest.fixture
def own_server(servers: Servers, major: int) -> Iterator[Server]:
    """A server of this test alone, to be killed, stopped and reconfigured at will."""
    with servers.new(major) as private:
        yield private


@pytest.fixture
def linguistic_collation(servers: Servers, major: int) -> str:
    """The statement that creates the collation `linguistic`, whose order is no byte order ('a' < 'B')."""
    if major != WHEEL_MAJOR:
        return "CREATE COLLATION linguistic (provider = icu, locale = 'en-US')"
    _make_locale(servers.locales / LINGUISTIC_LOCALE)
    return f"CREATE COLLATION linguistic (provider = libc, locale = '{LINGUISTIC_LOCALE}')"


def _make_locale(folder: Path) -> None:
    """The wheel's server has no ICU, and the machine may have no locale: so make one."""
    if folder.exists():
        return
    localedef = shutil.which("localedef")
    if localedef is None:
        pytest.fail("no localedef to make a linguistic locale with\nHINT: install it (Debian: libc-bin and locales)")
    made = subprocess.run(
        [localedef, "--no-archive", "-i", "en_US", "-f", "UTF-8", str(folder)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if made.returncode != 0:
        pytest.fail(f"localedef failed: {made.stderr.strip()}\nHINT: install the locale sources (Debian: locales)")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def pytest_configure(config: pytest.Config) -> None:
    """Give the session one folder for everything that it starts, subprocesses and workers included."""
    if hasattr(config, "workerinput"):
        return
    parent = choose_parent(unprivileged_user(), 1 << 30, must_execute=True)
    _sweep(parent)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_SESSION_PREFIX, dir=parent))
        if reaper.lock_folder(folder, wait=False) is not None:  # held until the process ends
            break  # else another session swept it just now
    folder.chmod(0o755)
    config.stash[_session_directory] = folder
    os.environ[DIRECTORY_VARIABLE] = str(folder)


def _sweep(parent: Path) -> None:
    """Remove the folders of sessions that were killed; their servers are gone already."""
    for folder in parent.glob(f"{_SESSION_PREFIX}*"):
        descriptor = reaper.lock_folder(folder, wait=False)
        if descriptor is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)


def pytest_report_header() -> str:
    """Say which columns of the version matrix run."""
    wanted = _wanted_majors()
    absent = "" if DEBIAN_MAJOR in wanted else f"; NOT on {DEBIAN_MAJOR}, which is not installed or not asked for"
    return f"PostgreSQL: {', '.join(map(str, wanted))}{absent}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Fail the session where it leaves a server behind."""
    result = yield
    folder = session.config.stash.get(_session_directory, None)
    if folder is not None:
        left = _left_behind(folder)
        shutil.rmtree(folder, ignore_errors=True)
        if left:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            print("\nERROR: the session left servers behind:", *left, sep="\n  ")  # noqa: T201 -- the summary is out
    return result


def _left_behind(folder: Path) -> list[str]:
    """Folders and processes of servers still there once the watchers had their time."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while left := [*map(str, folder.glob(f"{PREFIX}*")), *_processes_naming(folder)]:
        if time.monotonic() > give_up:
            return left
        time.sleep(0.05)
    return []


def _processes_naming(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if any(f"{folder}/" in word for word in words):
                found.append(f"{process.pid} {' '.join(words)}")
    return found
