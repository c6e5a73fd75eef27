"""The pages are true: their links lead somewhere, their tables are the code's, and their parts are in their places."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Final, get_args, get_type_hints

import pytest
from click.testing import CliRunner

from cleanup import errors
from cleanup.cli import VERBS, cleanup
from cleanup.config import (
    Acknowledgement,
    Approval,
    Check,
    ColumnConfig,
    JobConfig,
    Metrics,
    Pace,
    Resolution,
    Retention,
    TableConfig,
    Throttle,
    Window,
)
from cleanup.config_file import load_config
from cleanup.engine.verdicts import ConflictReason, Outcome
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

EXAMPLE: Final = config_directory() / "example.toml"
# What the model has beside the file's keys, and what it calls otherwise.
NO_KEYS: Final = {(JobConfig, "file"), (ColumnConfig, "name")}
KEYS_NAMED: Final = {"tables": "table", "json_paths": "paths", "leaf_formats": "leaves"}

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


def keys_of(model: type, place: str = "") -> Iterator[str]:
    """Every key that the config's model has a place for, as a dotted path; a column's own name is no key."""
    hints = get_type_hints(model)
    for field in fields(model):
        if (model, field.name) not in NO_KEYS:
            path = place + KEYS_NAMED.get(field.name, field.name)
            yield path
            for inner in models_in(hints[field.name]):
                yield from keys_of(inner, f"{path}.")


def models_in(hint: object) -> Iterator[type]:
    # An acknowledgement is one text in the file.
    if isinstance(hint, type) and is_dataclass(hint) and hint is not Acknowledgement:
        yield hint
    for part in get_args(hint):
        yield from models_in(part)


def keys_in(values: Mapping[str, object], place: str = "") -> Iterator[str]:
    """Every key of a document, as a dotted path."""
    for key, value in values.items():
        yield f"{place}{key}"
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                yield from keys_in(inner, f"{place}{key}.")


def test_the_example_config_names_every_key() -> None:
    # A key that does not go with another one is there as a comment.
    text = re.sub(r"^# (?=\w+ = )", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    shown = {re.sub(r"^(table\.columns)\.\w+", r"\1", path) for path in keys_in(tomllib.loads(text))}
    assert set(keys_of(JobConfig)) - shown == set()


def comments_of_example() -> dict[str, str]:
    """What the example says of each key: beside it, right above it, and above its section."""
    said: dict[str, str] = {}
    section, of_section, above = "", "", ""
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if head := re.match(r"\[+([\w.]+)\]+", line):
            section, of_section, above = head[1], above + line, ""
        elif key := re.match(r"(\w+) = ", line):
            path = f"{section}.{key[1]}"
            said[path] = f"{said.get(path, '')}{of_section} {above} {line.partition('  #')[2]}"
            above = ""
        else:
            above = f"{above} {line}" if line else ""
    return said


def test_a_key_of_the_example_has_its_default_or_says_what_that_is() -> None:
    config = load_config(EXAMPLE)
    assert config.pace == Pace()
    assert config.approval == Approval()
    assert config.throttle == Throttle()
    assert config.retention == Retention()
    said = comments_of_example()
    assert config.window is not None
    assert config.resolution is not None
    others: list[tuple[str, Check | Metrics | Window | Resolution | TableConfig]] = [
        ("check", config.check),
        ("metrics", config.metrics),
        ("window", config.window),
        ("resolution", config.resolution),
        *(("table", table) for table in config.tables),
    ]
    for section, values in others:
        for field in fields(values):
            comment = said.get(f"{section}.{field.name}", "")
            if comment and getattr(values, field.name) != field.default:
                assert re.search("default|required", comment, re.IGNORECASE), f"{section}.{field.name}: {comment}"


def test_the_page_of_conflicts_has_every_reason() -> None:
    page_of_conflicts = (ROOT / "runbooks" / "conflicts.md").read_text(encoding="utf-8")
    reasons = re.findall(r"^\| `(\w+)` \|", page_of_conflicts, re.MULTILINE)
    assert sorted(reasons) == sorted(reason.value for reason in ConflictReason)


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
