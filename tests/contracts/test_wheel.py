"""What is installed elsewhere has all its files and works there."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

STARTS_A_SERVER = """
import sys
from cleanup.demo.server import Server
from cleanup.resources import config_directory, sql_directory
import cleanup
with Server.start() as server:
    print(cleanup.__file__, sql_directory(), config_directory(), server.major, sep="\\n")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(REPOSITORY))
    [made] = folder.glob("*.whl")
    return made


def pip(command: str, *arguments: str) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
    subprocess.run([sys.executable, "-m", "pip", command, *quiet, *arguments], check=True)


def files(*folders: str) -> set[str]:
    tracked = [path for folder in folders for path in (REPOSITORY / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(REPOSITORY)) for path in tracked if "__pycache__" not in path.parts}


def test_holds_the_code_the_sql_the_config_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == files("cleanup") | {f"cleanup/_data/{name}" for name in files("sql", "config")}


def test_works_in_another_place(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    pip("install", "--target", str(target), str(wheel))
    answer = subprocess.run(
        [sys.executable, "-c", STARTS_A_SERVER],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
    )
    package = target / "cleanup"
    assert answer.stdout.splitlines() == [
        str(package / "__init__.py"),
        str(package / "_data" / "sql"),
        str(package / "_data" / "config"),
        "18",
    ]
