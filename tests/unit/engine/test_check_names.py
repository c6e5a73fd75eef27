"""The page of the checks names each of them, and says which a person may decide."""

import re
from pathlib import Path

from cleanup.check_names import CheckName
from cleanup.engine.checks.preflight import AREAS

PAGE = Path(__file__).parents[3] / "runbooks" / "check.md"


def test_the_page_has_every_check_and_says_which_can_be_acknowledged() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|.*\| (by name)? ?\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name, _ in rows if name not in {one.value for one in CheckName}] == []
    assert {name: bool(mark) for name, mark in rows} == {one.value: one.can_be_acknowledged for one in CheckName}


def test_every_check_belongs_to_something_that_is_run() -> None:
    elsewhere = {
        CheckName.TABLE,
        CheckName.KEY,
        CheckName.SPACE_FORECAST,
        CheckName.DISK_SPACE,
        CheckName.UNCONFIGURED_COLUMNS,
        CheckName.ACKNOWLEDGEMENTS,
    }
    names = [name for area in AREAS for name in area.names]
    assert len(names) == len(set(names))
    assert set(names) | elsewhere == set(CheckName)
