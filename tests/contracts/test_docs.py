"""The pages are true: their links lead somewhere, their tables are the code's, and their parts are in their places."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from cleanup import errors
from cleanup.cli import VERBS, cleanup
from cleanup.config import Approval, Pace, Throttle
from cleanup.config_file import load_config
from cleanup.engine.verdicts import Outcome
from cleanup.error_codes import page
from cleanup.links.policy import load_policy
from cleanup.resources import config_directory

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted((ROOT / "runbooks").glob("*.md"))
ALL_PAGES: Final = [ROOT / "README.md", *PAGES]

# Pages to look something up in; every other one answers a question, always in the same parts.
REFERENCES: Final = {
    "README", "archive-format", "error-codes", "events", "glossary", "limits", "link-recognition", "metrics",
    "speed",
}  # fmt: skip
PARTS: Final = ["When", "Check first", "Do", "Expect to see", "Undo", "If it fails"]
LINES_AT_MOST: Final = 85
ANSWERS: Final = [file for file in PAGES if file.stem not in REFERENCES]

_PART: Final = re.compile(rf"^\*\*({'|'.join(PARTS)})\b", re.MULTILINE)
_LINK: Final = re.compile(r"\]\(([^)#:]+)\)")


def test_every_link_leads_to_a_file() -> None:
    for file in ALL_PAGES:
        for target in _LINK.findall(file.read_text(encoding="utf-8")):
            assert (file.parent / target).is_file(), f"{file.name}: {target}"


def test_every_runbook_is_in_the_index() -> None:
    index = (ROOT / "runbooks" / "README.md").read_text(encoding="utf-8")
    for file in PAGES:
        assert file.name == "README.md" or f"({file.name})" in index, file.name


@pytest.mark.parametrize("file", ANSWERS, ids=lambda file: str(file.stem))
def test_a_page_has_its_parts_in_the_order_in_which_they_are_needed(file: Path) -> None:
    parts = _PART.findall(file.read_text(encoding="utf-8"))
    assert list(dict.fromkeys(parts)) == PARTS


def test_a_page_can_be_read_at_night() -> None:
    for file in ANSWERS:
        # Tables are looked up, not read.
        text = file.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line and not line.startswith("|")]
        assert len(lines) <= LINES_AT_MOST, file.name


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
