"""The page of the checks names each of them, and says which a person may decide."""

import re
from pathlib import Path

from cleanup.check_names import CheckName

PAGE = Path(__file__).parents[3] / "runbooks" / "check.md"


def test_the_page_has_every_check_and_says_which_can_be_acknowledged() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|.*\| (by name)? ?\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name, _ in rows if name not in {one.value for one in CheckName}] == []
    assert {name: bool(mark) for name, mark in rows} == {one.value: one.can_be_acknowledged for one in CheckName}
