"""Documents: every error of a file is reported, each with the file, the table and the key."""

from datetime import datetime
from enum import Enum
from pathlib import Path

import pytest

from cleanup.document import read_document
from cleanup.errors import ConfigInvalid, PolicyInvalid


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def problems_of(folder: Path, text: str, *asked: str) -> list[str]:
    """The problems of a document whose keys are asked for as `method key`, without the file's name."""
    (folder / "job.toml").write_text(text, encoding="utf-8")
    root, problems = read_document(folder / "job.toml", ConfigInvalid)
    for question in asked:
        method, key = question.split()
        if method == "member":
            root.member(key, Colour)
        else:
            getattr(root, method)(key)
    root.close()
    with pytest.raises(ConfigInvalid) as error:
        problems.raise_if_any()
    prefix = f"{folder / 'job.toml'}: "
    lines = error.value.message.split("\n")
    assert error.value.hint.startswith(f"correct the {len(lines)} place(s)")
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


@pytest.mark.parametrize(
    ("text", "question", "problem"),
    [
        ("", "text a", "a: is missing; it must be a non-empty string"),
        ("a = ''", "text a", "a: is '', must be a non-empty string"),
        ("a = 1", "text a", "a: is 1, must be a non-empty string"),
        ("a = ''", "optional_text a", "a: is '', must be a non-empty string"),
        ("a = true", "integer a", "a: is True, must be a whole number"),
        ("a = 1.0", "integer a", "a: is 1.0, must be a whole number"),
        ("a = -1", "integer a", "a: is -1, must be >= 0"),
        ("a = 2", "fraction a", "a: is 2, must be a number from 0 to 1"),
        ("a = nan", "fraction a", "a: is nan, must be a number from 0 to 1"),
        ("a = true", "fraction a", "a: is True, must be a number from 0 to 1"),
        ("a = 'yes'", "boolean a", "a: is 'yes', must be true or false"),
        ("a = 0", "boolean a", "a: is 0, must be true or false"),
        ("a = '2021-08-02'", "instant a", "a: is '2021-08-02', must be a date and time"),
        ("a = 2021-08-02", "instant a", "a: is datetime.date(2021, 8, 2), must be a date and time"),
        ("a = 'b'", "texts a", "a: is 'b', must be a list of strings"),
        ("a = ['b', 1]", "texts a", "a: is ['b', 1], must be a list of strings"),
        ("a = []", "integers a", "a: is [], must be a list of whole numbers >= 0"),
        ("a = [true]", "integers a", "a: is [True], must be a list of whole numbers >= 0"),
        ("a = 'green'", "member a", "a: is 'green', must be one of red, blue"),
        ("a = ['red']", "member a", "a: is ['red'], must be one of red, blue"),
        ("a = 1", "section a", "a: is 1, must be a table"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_must_be(tmp_path: Path, text: str, question: str, problem: str) -> None:
    assert problems_of(tmp_path, text, question) == [problem]


def test_right_values_come_back_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(
        "text = '好'\nwhole = 3\nshare = 1\nyes = true\nat = 2021-08-02T00:00:00+08:00\nlist = ['a', '']\n"
        "colour = 'blue'\n[table.inner]\nkey = 1\n[[several]]\nn = 1\n[[several]]\nn = 2\n",
        encoding="utf-8",
    )
    root, problems = read_document(tmp_path / "job.toml", ConfigInvalid)
    assert (root.text("text"), root.integer("whole"), root.fraction("share"), root.boolean("yes")) == ("好", 3, 1, True)
    assert root.instant("at") == datetime.fromisoformat("2021-08-02T00:00:00+08:00")
    assert (root.texts("list"), root.member("colour", Colour)) == (("a", ""), Colour.BLUE)
    assert root.section("table").section("inner").path("key") == "table.inner.key"
    assert root.holds("table.inner.key")
    assert not root.holds("table.inner.key.deeper")
    assert [section.integer("n") for section in root.sections("several")] == [1, 2]
    assert (root.optional_text("absent"), root.texts("none", ("x",)), root.integer("few", 7)) == (None, ("x",), 7)
    root.close()
    problems.raise_if_any()


def test_all_errors_come_together_and_unknown_keys_name_the_known(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "b = 'x'\nc = 1\nd = 2\n", "integer b", "text c", "text e") == [
        "b: is 'x', must be a whole number",
        "c: is 1, must be a non-empty string",
        "e: is missing; it must be a non-empty string",
        "d: unknown key; the keys here are b, c, e",
    ]


@pytest.mark.parametrize("text", ["[[several]]\nn = 'x'", "several = [{ n = 'x' }]"])
def test_a_table_of_an_array_is_counted_from_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "job.toml").write_text(text, encoding="utf-8")
    root, problems = read_document(tmp_path / "job.toml", ConfigInvalid)
    for section in root.sections("several"):
        section.integer("n")
    with pytest.raises(ConfigInvalid, match=r"several\[1\].n: is 'x', must be a whole number"):
        problems.raise_if_any()


@pytest.mark.parametrize(
    ("content", "told"), [(b"a = ", "is not TOML"), (b"a = '\xff'", "is not TOML"), (b"a = 1\na = 2", "is not TOML")]
)
def test_what_is_no_toml_is_refused_with_the_place(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "job.toml").write_bytes(content)
    with pytest.raises(PolicyInvalid, match=told):
        read_document(tmp_path / "job.toml", PolicyInvalid)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigInvalid) as error:
            read_document(path, ConfigInvalid)
        assert error.value.message.startswith(f"{path}: cannot be read: ")
