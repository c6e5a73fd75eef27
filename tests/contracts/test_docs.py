"""The pages are true: their commands run, their links lead somewhere, their tables are the code's."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest
from click.testing import CliRunner

from cleanup import errors
from cleanup.cli import VERBS, cleanup
from cleanup.config import Approval, Pace, Throttle
from cleanup.config_file import load_config
from cleanup.demo.posts import COLUMNS, generate_rows
from cleanup.engine.verdicts import Outcome
from cleanup.error_codes import page
from cleanup.links.policy import load_policy
from cleanup.resources import config_directory, sql_directory
from tests.plugins.servers import WHEEL_MAJOR

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted((ROOT / "runbooks").glob("*.md"))
ALL_PAGES: Final = [ROOT / "README.md", *PAGES]

_LINK: Final = re.compile(r"\]\(([^)#:]+)\)")
_COMMANDS: Final = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CONFIG: Final = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands_of(file: Path) -> list[list[str]]:
    lines = "".join(_COMMANDS.findall(file.read_text(encoding="utf-8"))).splitlines()
    return [line.partition("#")[0].split() for line in lines if line.strip()]


def readme_config() -> str:
    found = _CONFIG.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(found) == 1
    return str(found[0])


class Shell:
    """A DBA's shell: a folder with the README's config, and libpq's variables."""

    def __init__(self, folder: Path, dsn: str) -> None:
        (folder / "cleanup.toml").write_text(readme_config(), encoding="utf-8")
        parts = psycopg.conninfo.conninfo_to_dict(dsn)
        names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGDATABASE": "dbname"}
        self._environment = {**os.environ, **{name: str(parts[key]) for name, key in names.items()}}
        self._folder = folder

    def run(self, words: list[str]) -> str:
        assert words[0] == "cleanup", words
        arguments = [self._digest() if word == "DIGEST" else word for word in words[1:]]
        ended = subprocess.run(
            [sys.executable, "-m", "cleanup", *arguments],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert ended.returncode == 0, f"{' '.join(words)}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def _digest(self) -> str:
        return str(json.loads(self.run(["cleanup", "report", "1", "--format", "json"]))["digest"])


# What a page says does not depend on the server's version: one is enough.
on_one_version = pytest.mark.parametrize("major", [WHEEL_MAJOR], ids=["pg18"], indirect=True)


@pytest.fixture
def shell(database_dsn: str, tmp_path: Path) -> Shell:
    with psycopg.connect(database_dsn) as connection:
        connection.execute((sql_directory() / "demo" / "schema.sql").read_bytes())
        columns = ", ".join(COLUMNS["note"])
        with connection.cursor().copy(f"COPY note ({columns}) FROM STDIN".encode()) as copy:
            for row in generate_rows("note", 300, 1):
                copy.write_row(row)
    return Shell(tmp_path, database_dsn)


@on_one_version
def test_the_readmes_screen_of_real_use_runs_as_it_stands(shell: Shell) -> None:
    commands = commands_of(ROOT / "README.md")
    assert len(commands) > 5
    for words in commands:
        shell.run(words)


@on_one_version
@pytest.mark.parametrize("file", [file for file in PAGES if commands_of(file)], ids=lambda file: str(file.name))
def test_the_commands_of_a_runbook_run_as_they_stand(shell: Shell, file: Path) -> None:
    if file.name != "cutover.md":
        for words in commands_of(ROOT / "runbooks" / "cutover.md"):
            if "--since" not in words:
                shell.run(words)
    for words in commands_of(file):
        shell.run(words)


def test_every_link_leads_to_a_file() -> None:
    for file in ALL_PAGES:
        for target in _LINK.findall(file.read_text(encoding="utf-8")):
            assert (file.parent / target).is_file(), f"{file.name}: {target}"


def test_every_runbook_is_in_the_index() -> None:
    index = (ROOT / "runbooks" / "README.md").read_text(encoding="utf-8")
    for file in PAGES:
        assert file.name == "README.md" or f"({file.name})" in index, file.name


def test_the_page_of_error_codes_is_the_codes_own() -> None:
    assert (ROOT / "runbooks" / "error-codes.md").read_text(encoding="utf-8") == page()


def leaf_errors(kind: type[errors.CleanupError]) -> Iterator[type[errors.CleanupError]]:
    children = kind.__subclasses__()
    if not children:
        yield kind
    for child in children:
        yield from leaf_errors(child)


def test_every_error_has_its_own_code_and_is_raised_somewhere() -> None:
    kinds = list(leaf_errors(errors.CleanupError))
    assert len({kind.code for kind in kinds}) == len(kinds)
    source = "".join(
        file.read_text(encoding="utf-8") for file in (ROOT / "cleanup").rglob("*.py") if file.name != "errors.py"
    )
    for kind in kinds:
        assert re.search(rf"\b{kind.__name__}[(),]", source), f"{kind.__name__} is raised nowhere"


def test_the_glossary_has_every_outcome() -> None:
    glossary = (ROOT / "runbooks" / "glossary.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (yes)? ?\|$", glossary, re.MULTILINE))
    assert rows.keys() == {outcome.value for outcome in Outcome}
    assert {name for name, looked_at in rows.items() if looked_at} == {
        outcome.value for outcome in Outcome if outcome.leaves_work
    }


def test_the_example_config_shows_every_key_with_its_default() -> None:
    config = load_config(config_directory() / "example.toml")
    assert config.pace == Pace()
    assert config.approval == Approval()
    assert config.throttle == Throttle()


def test_every_shipped_policy_and_config_is_valid() -> None:
    for file in config_directory().glob("*.toml"):
        if file.name.startswith("policy-"):
            load_policy(file)
        else:
            load_config(file)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_help_text_and_a_place_in_the_pages(verb: str) -> None:
    shown = CliRunner().invoke(cleanup, [verb, "--help"])
    assert shown.exit_code == 0, shown.output
    assert any(f"cleanup {verb}" in file.read_text(encoding="utf-8") for file in ALL_PAGES) or verb == "demo"
