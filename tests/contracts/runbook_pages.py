"""Pages as sessions: what a page starts from, what is typed, and what it says comes back."""

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "runbooks").glob("*.md")))

_START: Final = re.compile(r"^<!-- starts: (.+) -->$")
_FENCE: Final = re.compile(r"^```(\S*)$")
_HEREDOC: Final = re.compile(r"<<-?\s*'?(\w+)'?")
_STATUS: Final = re.compile(r"\s# exit (\d+)\b")
_WILD: Final = re.compile(r"(…|<[a-z][a-z ]*>)")


class Language(Enum):
    """What a fenced block holds; no other language has a place in a page."""

    COMMANDS = "sh"
    SQL = "sql"
    CONFIG = "toml"
    SHOWN = "text"
    PYTHON = "python"


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a shell, and the exit status that it must end with."""

    text: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, and the line of the page where it begins."""

    language: Language
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Session:
    """A part of a page that starts from one situation."""

    page: Path
    situation: str
    blocks: tuple[Block, ...]

    @property
    def name(self) -> str:
        """How a test calls it."""
        page = "README" if self.page.parent == ROOT else self.page.stem
        return f"{page}: {self.situation}"


def sessions_of(page: Path) -> Iterator[Session]:
    """The sessions of a page; what is typed before any situation was named starts from none."""
    situation, blocks = "", list[Block]()
    for part in _parts(page.read_text(encoding="utf-8").splitlines()):
        if isinstance(part, str):
            yield from _session(page, situation, blocks)
            situation, blocks = part, []
        else:
            blocks.append(part)
    yield from _session(page, situation, blocks)


def commands_of(block: Block) -> Iterator[Command]:
    """The commands of a block: one a line, but for quotes, backslashes and here-documents that go on."""
    lines = iter(block.text.splitlines())
    for line in lines:
        text = line
        while _goes_on(text):
            text += f"\n{next(lines)}"
        if line.strip() and not line.startswith("#"):
            status = _STATUS.search(text)
            yield Command(text, int(status[1]) if status else 0)


def first_not_printed(shown: str, printed: str) -> str | None:
    """The first line of `shown` that `printed` does not have behind the others; None where it has them all.

    Blanks count once, since columns are as wide as their widest value; … and <words> stand for anything.
    """
    lines = iter([_squeezed(line) for line in printed.splitlines()])
    for line in shown.splitlines():
        pattern = re.compile("".join(_as_pattern(_squeezed(line))))
        if not any(pattern.fullmatch(candidate) for candidate in lines):
            return line
    return None


def says_nothing(shown: str) -> list[str]:
    """The lines that almost anything would fit; a line of … alone only says that something was left out."""
    return [line for line in shown.splitlines() if line != "…" and len(_WILD.sub("", _squeezed(line))) < 3]


def _goes_on(text: str) -> bool:
    heredoc = _HEREDOC.search(text)
    if heredoc:
        return text.splitlines()[-1] != heredoc[1]
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return text.endswith("\\")


def _session(page: Path, situation: str, blocks: list[Block]) -> Iterator[Session]:
    typed = [block for block in blocks if block.language is not Language.PYTHON]
    if typed:
        yield Session(page, situation, tuple(typed))


def _parts(lines: Iterable[str]) -> Iterator[Block | str]:
    language, opened, content = "", 0, list[str]()
    for number, line in enumerate(lines, start=1):
        fence = _FENCE.match(line)
        if opened and line == "```":
            yield Block(Language(language), "".join(content), opened)
            opened, content = 0, []
        elif opened:
            content.append(f"{line}\n")
        elif fence:
            language, opened = fence[1], number
        elif start := _START.match(line):
            yield start[1]


def _squeezed(line: str) -> str:
    return " ".join(line.split())


def _as_pattern(line: str) -> Iterator[str]:
    for piece in _WILD.split(line):
        yield ".*" if piece == "…" else ".+" if _WILD.fullmatch(piece) else re.escape(piece)
