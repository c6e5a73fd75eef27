"""The inline links and images of a Markdown text; definitions and code are text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Final

# Backslash escapes, runs of backticks, brackets, and <...>, which hides brackets from view.
_MARK: Final = re.compile(r"\\.|`++|!?\[|\]|<[A-Za-z/!][^<>\n]*+>|\n[ \t]*+\n", re.DOTALL)
_FENCE: Final = re.compile(r"^ {0,3}(`{3,}+|~{3,}+)([^\n]*+)$", re.MULTILINE)
_SPACE: Final = re.compile(r"[ \t]*+\n?[ \t]*+")
_DESTINATION: Final = re.compile(r"[^\s\x00-\x1f()\\]++|\\[^\s]|\\(?=\s)")
_POINTED: Final = re.compile(r"<((?:[^<>\n\\]|\\.)*)>")
_BACKSLASH: Final = re.compile(r"\\([!-/:-@\[-`{-~])")
_QUOTES: Final = {'"': '"', "'": "'", "(": ")", "“": "”", "‘": "’", "「": "」", "『": "』"}
_DEEPEST: Final = 32


@dataclass(frozen=True, slots=True)
class MarkdownLink:
    """One `[label](target "title")` or `![label](target)`; `target` is read through its escapes."""

    start: int
    end: int
    label_start: int
    label_end: int
    target: str
    target_end: int


def markdown_links(text: str) -> Iterator[MarkdownLink]:
    """Every inline link and image, by ascending end: one inside another's label comes first.

    One that holds too many others in one another is text: what takes its place would be written for each of them.
    """
    depths: list[tuple[int, int]] = []
    for link in _Links(text).run():
        depth = 1
        while depths and depths[-1][0] > link.start:
            depth = max(depth, depths.pop()[1] + 1)
        depths.append((link.start, depth))
        if depth <= _DEEPEST:
            yield link


class _Links:
    def __init__(self, text: str) -> None:
        self._text = text
        self._code_ends = _Finds(text)
        self._title_ends = _Finds(text)
        # Open brackets: their offset, and whether they open an image.
        self._open: list[tuple[int, bool]] = []

    def run(self) -> Iterator[MarkdownLink]:
        text, position = self._text, 0
        fences = list(_fenced(text))
        fence = 0
        while mark := _MARK.search(text, position):
            while fence < len(fences) and fences[fence][1] <= mark.start():
                fence += 1
            if fence < len(fences) and fences[fence][0] <= mark.start():
                position = fences[fence][1]
                self._open.clear()
                continue
            position = mark.end()
            written = mark.group()
            if written[0] == "`":
                position = self._behind_code(mark)
            elif written[0] == "\n":
                # A blank line ends the paragraph, and no link reaches over it.
                self._open.clear()
            elif written.endswith("[") and written[0] != "\\":
                self._open.append((mark.start(), written[0] == "!"))
            elif written == "]" and self._open:
                link = self._link(mark.start())
                if link:
                    position = link.end
                    yield link

    def _behind_code(self, mark: re.Match[str]) -> int:
        """Behind a code span; a run of backticks that nothing closes is text."""
        run = mark.group()
        end = self._code_ends.first(run, mark.end(), exact=True)
        return mark.end() if end < 0 else end + len(run)

    def _link(self, closing: int) -> MarkdownLink | None:
        start, is_image = self._open.pop()
        if not self._text.startswith("(", closing + 1):
            return None
        parsed = self._target(closing + 2)
        if parsed is None:
            return None
        target, target_end, end = parsed
        if not is_image:
            # A link holds no other link: brackets that opened before it are text.
            self._open = [entry for entry in self._open if entry[1]]
        return MarkdownLink(start, end, start + (2 if is_image else 1), closing, target, target_end)

    def _target(self, start: int) -> tuple[str, int, int] | None:
        """The target, where it ends, and where the link ends."""
        position = _skip(self._text, start)
        if pointed := _POINTED.match(self._text, position):
            target, position = pointed.group(1), pointed.end()
        else:
            end = self._bare_target_end(position)
            target, position = self._text[position:end], end
        behind = _skip(self._text, position)
        opening = self._text[behind : behind + 1]
        if behind > position and opening in _QUOTES and opening:
            end = self._title_ends.first(_QUOTES[opening], behind + 1)
            if end < 0 or "\n\n" in self._text[behind:end]:
                return None
            behind = _skip(self._text, end + 1)
        if not self._text.startswith(")", behind):
            return None
        return unescape(_BACKSLASH.sub(r"\1", target)), position, behind + 1

    def _bare_target_end(self, start: int) -> int:
        """The end of a target without <>: its parentheses pair, as in CommonMark."""
        text, position, depth = self._text, start, 0
        while True:
            if piece := _DESTINATION.match(text, position):
                position = piece.end()
            elif text.startswith("(", position) and depth < _DEEPEST:
                depth, position = depth + 1, position + 1
            elif text.startswith(")", position) and depth:
                depth, position = depth - 1, position + 1
            else:
                return position


class _Finds:
    """Looks ahead for closing marks, and remembers what it saw: all look-aheads cost one pass."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: dict[str, int] = {}

    def first(self, mark: str, start: int, *, exact: bool = False) -> int:
        """Where a mark first stands from `start` on, or -1; an exact run of backticks is no part of a longer one."""
        known = self._known.get(mark, 0)
        if known < 0 or known >= start:
            return known
        position = self._text.find(mark, start)
        while exact and position >= 0 and not self._is_whole_run(mark, position):
            while self._text.startswith("`", position):
                position += 1
            position = self._text.find(mark, position)
        self._known[mark] = position
        return position

    def _is_whole_run(self, mark: str, position: int) -> bool:
        return not self._text.startswith("`", position + len(mark))


def _fenced(text: str) -> Iterator[tuple[int, int]]:
    """The ranges of fenced code blocks; one that nothing closes reaches to the end."""
    opened: tuple[int, str] | None = None
    for fence in _FENCE.finditer(text):
        marks, info = fence.group(1), fence.group(2)
        if opened is None:
            if marks[0] == "~" or "`" not in info:
                opened = (fence.start(), marks)
        elif marks.startswith(opened[1]) and not info.strip():
            yield opened[0], fence.end()
            opened = None
    if opened is not None:
        yield opened[0], len(text)


def _skip(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position
