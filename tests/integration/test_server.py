"""The embedded server: what it offers, and that nothing outlives the process that started it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import conninfo

from cleanup.demo import reaper
from cleanup.demo.binaries import binaries_at, find_debian_binaries, find_wheel_binaries
from cleanup.demo.folders import DIRECTORY_VARIABLE, PREFIX
from cleanup.demo.server import Server, StopMode
from cleanup.errors import ServerUnavailable
from tests.plugins.servers import binaries_of

ROOT = os.geteuid() == 0
DEADLINE_SECONDS = 20

OWNER = """
import os, sys, time
from cleanup.demo.binaries import find_debian_binaries, find_wheel_binaries
from cleanup.demo.server import Server
print("begun", flush=True)
server = Server.start(find_wheel_binaries() if sys.argv[1] == "18" else find_debian_binaries(int(sys.argv[1])))
if sys.argv[2] == "forks" and os.fork() == 0:
    time.sleep(3600)
print(server.pid, server._watcher.pid, flush=True)
sys.stdin.read()
"""


class Owner:
    """A process that starts a server, to be killed."""

    def __init__(self, major: int, folder: Path, *, forks: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(major), "forks" if forks else "plain"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, DIRECTORY_VARIABLE: str(folder), "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert self.line() == "begun"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def started(self) -> tuple[int, int]:
        server, watcher = self.line().split()
        return int(server), int(watcher)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place of this test's servers alone, with a short path that nobody may enter too."""
    made = Path(tempfile.mkdtemp(prefix="place-", dir=os.environ[DIRECTORY_VARIABLE]))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def wait_until_empty(folder: Path) -> None:
    give_up = time.monotonic() + DEADLINE_SECONDS
    while left := list(folder.iterdir()):
        assert time.monotonic() < give_up, f"still there: {left}"
        # The watcher holds the folder's lock until it has removed it: waiting for the lock is waiting for the watcher.
        descriptor = reaper.lock_folder(left[0], wait=True)
        if descriptor is not None:
            os.close(descriptor)


def is_alive(process: int) -> bool:
    # A zombie has ended; where no init reaps it, as in many containers, its entry stays.
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


def test_answers_over_its_socket_alone(server: Server, major: int) -> None:
    with psycopg.connect(server.dsn()) as connection:
        assert connection.info.server_version // 10_000 == major
        row = connection.execute(
            "SELECT current_setting('listen_addresses'), getdatabaseencoding(), current_setting('timezone')"
        ).fetchone()
    assert row == ("", "UTF8", "UTC")
    assert server.folder.stat().st_mode & 0o777 == 0o700


def test_root_runs_it_as_nobody_and_others_as_themselves(server: Server) -> None:
    owner = server.folder.stat().st_uid
    assert owner == (65534 if ROOT else os.geteuid())
    assert psutil.Process(server.pid).uids().effective == owner


def test_sorts_and_folds_alike_on_every_version(server: Server) -> None:
    with psycopg.connect(server.dsn()) as connection:
        row = connection.execute(
            "SELECT array_agg(t ORDER BY t), upper('straße é ж') FROM unnest(array['a', 'B', '_', 'é', '中']) t"
        ).fetchone()
    assert row == (["B", "_", "a", "é", "中"], "STRAßE É Ж")


def test_dsn_quotes_the_database_name(server: Server) -> None:
    for name in ("plain", "two words", "it's", "back\\slash", ""):
        assert conninfo.conninfo_to_dict(server.dsn(name)).get("dbname", "") == name


def _write(server: Server) -> None:
    with psycopg.connect(server.dsn()) as connection:
        connection.execute("CREATE TABLE kept (id int)")
        connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")


def _count(server: Server) -> object:
    with psycopg.connect(server.dsn()) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    return row[0] if row else None


@pytest.mark.parametrize("mode", list(StopMode))
def test_restart_keeps_the_data(own_server: Server, mode: StopMode) -> None:
    _write(own_server)
    own_server.restart(mode)
    assert _count(own_server) == 1000


def test_kill_is_a_crash_and_keeps_what_was_committed(own_server: Server) -> None:
    _write(own_server)
    with psycopg.connect(own_server.dsn()) as connection:
        connection.execute("DELETE FROM kept")
        own_server.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    own_server.restart()
    assert _count(own_server) == 1000
    assert "was not properly shut down" in own_server.log_file.read_text()


def test_stopped_server_says_so(own_server: Server) -> None:
    own_server.stop()
    with pytest.raises(ServerUnavailable, match="stopped"):
        _ = own_server.pid
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(own_server.dsn())


def test_settings_and_environment_reach_the_server(major: int) -> None:
    with (
        Server.start(binaries_of(major), settings={"work_mem": "7MB", "cluster_name": "it's \\ mine"}) as server,
        psycopg.connect(server.dsn()) as connection,
    ):
        row = connection.execute("SELECT current_setting('work_mem'), current_setting('cluster_name')").fetchone()
    assert row == ("7MB", "it's \\ mine")


def test_close_leaves_nothing(folder: Path, major: int) -> None:
    server = Server.start(binaries_of(major), directory=folder)
    process = server.pid
    server.close()
    server.close()
    assert list(folder.iterdir()) == []
    assert not is_alive(process)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists its System V segments as a file")
def test_close_after_kill_leaves_no_shared_memory(folder: Path, major: int) -> None:
    server = Server.start(binaries_of(major), directory=folder)
    segment = (server.folder / "data" / "postmaster.pid").read_text().splitlines()[6].split()[1]
    assert segment in _segments()
    server.kill()
    assert segment in _segments(), "the test proves nothing where the kill leaves no segment"
    server.close()
    assert segment not in _segments()


def _segments() -> set[str]:
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}


def test_outlives_the_thread_that_started_it(folder: Path, major: int) -> None:
    started: list[Server] = []
    thread = threading.Thread(target=lambda: started.append(Server.start(binaries_of(major), directory=folder)))
    thread.start()
    thread.join()
    with started[0] as server, psycopg.connect(server.dsn()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_dies_with_its_killed_owner(folder: Path, major: int) -> None:
    owner = Owner(major, folder)
    server, _ = owner.started()
    assert is_alive(server)
    owner.kill()
    wait_until_empty(folder)
    assert not is_alive(server)


def test_dies_with_its_owner_whatever_that_forked(folder: Path, major: int) -> None:
    owner = Owner(major, folder, forks=True)
    server, _ = owner.started()
    owner.process.kill()
    owner.process.wait()
    try:
        wait_until_empty(folder)
        assert not is_alive(server)
    finally:
        os.killpg(owner.process.pid, signal.SIGKILL)
        owner.process.communicate()


@pytest.mark.parametrize("delay_ms", [0, 30, 120, 400, 550, 620, 700])
def test_nothing_is_left_of_a_start_that_was_killed(folder: Path, major: int, delay_ms: int) -> None:
    owner = Owner(major, folder)
    time.sleep(delay_ms / 1000)  # the moment of the kill is what is tried
    owner.kill()
    with Server.start(binaries_of(major), directory=folder):  # sweeps what died before it had a watcher
        pass
    wait_until_empty(folder)


def test_next_start_sweeps_what_a_killed_watcher_left(folder: Path, major: int) -> None:
    owner = Owner(major, folder)
    server, watcher = owner.started()
    os.kill(watcher, signal.SIGKILL)
    owner.kill()
    assert is_alive(server)
    with Server.start(binaries_of(major), directory=folder) as next_server:
        assert list(folder.iterdir()) == [next_server.folder]
    assert not is_alive(server)


def test_a_start_leaves_the_living_alone(folder: Path, major: int) -> None:
    with (
        Server.start(binaries_of(major), directory=folder) as first,
        Server.start(binaries_of(major), directory=folder) as second,
        psycopg.connect(first.dsn()) as connection,
    ):
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert {first.folder, second.folder} == set(folder.glob(f"{PREFIX}*"))


def test_programs_that_nobody_can_reach_are_copied(tmp_path: Path, folder: Path) -> None:
    tmp_path.chmod(0o700)
    hidden = []
    for part in find_wheel_binaries().parts:
        shutil.copytree(part, tmp_path / part.name, symlinks=True)
        hidden.append(tmp_path / part.name)
    binaries = binaries_at(hidden[0] / "pginstall" / "bin", tuple(hidden))
    with Server.start(binaries, directory=folder) as server:
        assert (server.folder / "binaries").is_dir() == ROOT
        with psycopg.connect(server.dsn()) as connection:
            assert connection.execute("SELECT upper('é')").fetchone() == ("É",)
        version = subprocess.run([server.program("psql"), "--version"], check=True, capture_output=True, text=True)
        assert "18" in version.stdout


def test_says_what_the_server_did_not_like(folder: Path, major: int) -> None:
    with pytest.raises(ServerUnavailable, match='unrecognized configuration parameter "no_such"'):
        Server.start(binaries_of(major), settings={"no_such": "1"}, directory=folder)
    assert list(folder.iterdir()) == []


def test_refuses_a_folder_whose_sockets_no_client_could_name(folder: Path) -> None:
    deep = folder / ("d" * 60)
    with pytest.raises(ServerUnavailable, match="too long"):
        Server.start(directory=deep)


def test_refuses_a_folder_that_is_not_there(folder: Path) -> None:
    with pytest.raises(ServerUnavailable, match="No such file"):
        Server.start(directory=folder / "absent")


def test_says_where_it_looked_for_programs(tmp_path: Path) -> None:
    with pytest.raises(ServerUnavailable, match="no PostgreSQL server programs in"):
        binaries_at(tmp_path)
    with pytest.raises(ServerUnavailable, match="PostgreSQL 9 is not installed") as caught:
        find_debian_binaries(9)
    assert "postgresql-9" in caught.value.hint


def test_each_test_has_an_empty_database(database_dsn: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        row = connection.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetchone()
        others = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
        connection.execute("CREATE TABLE left_by_the_first_test ()")
    assert (row, others) == ((0,), (0,))


test_each_test_has_an_empty_database_again = test_each_test_has_an_empty_database


def test_linguistic_collation_sorts_as_people_do(database_dsn: str, linguistic_collation: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        connection.execute(linguistic_collation.encode())
        row = connection.execute(
            "SELECT array_agg(t ORDER BY t COLLATE linguistic) FROM unnest(array['B', 'a', 'b', 'A']) t"
        ).fetchone()
    assert row is not None
    assert [letter.lower() for letter in row[0]] == ["a", "a", "b", "b"]
