"""The pages run: each command against a real server, and each line that a page shows is what was printed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cleanup.demo.server import Server
from tests.contracts.runbook_pages import (
    PAGES,
    Block,
    Command,
    Language,
    Session,
    commands_of,
    first_not_printed,
    says_nothing,
    sessions_of,
)
from tests.contracts.runbook_shell import Shell, readme_config
from tests.contracts.situations import SITUATIONS, Scene
from tests.integration.jobs import subprocess_environment
from tests.plugins.servers import WHEEL_MAJOR

SESSIONS = [session for page in PAGES for session in sessions_of(page)]

# What a page says does not depend on the server's version: one is enough.
on_one_version = pytest.mark.parametrize("major", [WHEEL_MAJOR], ids=["pg18"], indirect=True)


@pytest.fixture
def separate(request: pytest.FixtureRequest) -> bool:
    """Whether each command is a process of its own: in the README, whose screen is what most people type first."""
    return "README" in request.node.name


@pytest.fixture
def scene(
    database_dsn: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, separate: bool
) -> Iterator[Scene]:
    """A database with posts, and a shell beside it."""
    for name, value in subprocess_environment().items():
        monkeypatch.setenv(name, value)
    made = Scene(database_dsn, tmp_path, readme_config(), Shell(tmp_path, database_dsn, server, separate=separate))
    yield made
    made.close()


@on_one_version
@pytest.mark.parametrize("session", SESSIONS, ids=[session.name for session in SESSIONS])
def test_a_page_runs_and_shows_what_is_printed(scene: Scene, session: Session) -> None:
    assert session.situation in SITUATIONS, f"{session.page.name} starts from {session.situation!r}: no such situation"
    SITUATIONS[session.situation](scene)
    for block in session.blocks:
        play(scene.shell, block, f"{session.page.name}:{block.line}")


def play(shell: Shell, block: Block, place: str) -> None:
    """Do what a block says, or hold what it shows against what was printed since the last such block."""
    if block.language is Language.SHOWN:
        missing = first_not_printed(block.text, shell.printed)
        assert missing is None, f"{place} shows a line that was not printed here:\n{missing}\n---\n{shell.printed}"
        shell.printed = ""
    elif block.language is Language.SQL:
        shell.run_sql(block.text)
    elif block.language is Language.CONFIG:
        shell.configure(block.text)
    else:
        for command in commands_of(block):
            shell.run(command)


def test_every_situation_is_where_a_page_starts() -> None:
    assert {session.situation for session in SESSIONS} == SITUATIONS.keys()


@pytest.mark.parametrize("session", SESSIONS, ids=[session.name for session in SESSIONS])
def test_a_page_shows_something_that_could_be_otherwise(session: Session) -> None:
    before: Language | None = None
    shown = [block for block in session.blocks if block.language is Language.SHOWN]
    assert shown, f"{session.name} shows nothing of what is printed"
    assert [says_nothing(block.text) for block in shown] == [[]] * len(shown)
    for block in session.blocks:
        assert block.language is not Language.SHOWN or before in (Language.COMMANDS, Language.SQL), (
            f"{session.page.name}:{block.line} shows what nothing has printed"
        )
        before = block.language


_PAGE = """\
# Title
<!-- starts: a plan -->
```sh
cleanup plan   # exit 1: why
# only words
cat > file <<'END'
one's
END
ls \\
  -l
psql -c 'SELECT
1'  # one's own
```

```text
  a  1
```
```python
pass
```
"""


def test_a_page_is_read_as_it_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(_PAGE)
    (session,) = sessions_of(page)
    assert session.situation == "a plan"
    assert [block.language for block in session.blocks] == [Language.COMMANDS, Language.SHOWN]
    assert list(commands_of(session.blocks[0])) == [
        Command("cleanup plan   # exit 1: why", 1),
        Command("cat > file <<'END'\none's\nEND"),
        Command("ls \\\n  -l"),
        Command("psql -c 'SELECT\n1'  # one's own"),
    ]
    page.write_text("```sh\nls\n```\n")
    assert [session.situation for session in sessions_of(page)] == [""]


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        ("a  1\nc 3", None),
        ("  a 1\n…\nc …", None),
        ("b <digest> end", None),
        ("c 3\na 1", "a 1"),
        ("a 1\na 1", "a 1"),
        ("a", "a"),
        ("b <digest>x end", "b <digest>x end"),
        ("a.1", "a.1"),
    ],
)
def test_what_is_shown_is_held_against_what_was_printed(shown: str, missing: str | None) -> None:
    assert first_not_printed(shown, "a 1\nb  4f end\nc 3\n") == missing
