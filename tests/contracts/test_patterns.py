"""Patterns that mean the same on every Python that the package supports."""

import re
from pathlib import Path
from typing import Final

CODE: Final = Path(__file__).parents[2] / "cleanup"

# Before Python 3.11.5 a possessive group, or an atomic one, fails where its last round matches in part.
# A possessive character or class is safe.
_POSSESSIVE_GROUP: Final = re.compile(r"\)(?:\+\+|\*\+|\?\+|\{[0-9]+,[0-9]*\}\+)|\(\?>")
# A class, or a string of punctuation, may spell the same characters.
_CLASS: Final = re.compile(r"\[[^\]]*\]|\"[^\"]*!\$[^\"]*\"")


def test_no_pattern_repeats_a_group_possessively() -> None:
    for file in CODE.rglob("*.py"):
        for line in file.read_text(encoding="utf-8").splitlines():
            assert not _POSSESSIVE_GROUP.search(_CLASS.sub("C", line)), f"{file.name}: {line}"


def test_the_check_finds_such_a_group() -> None:
    assert _POSSESSIVE_GROUP.search(r"(?:\.[a-z]++)++")
    assert _POSSESSIVE_GROUP.search(r"(?>a|b)c")
    assert not _POSSESSIVE_GROUP.search(r"(?:\.[a-z]++)+")
