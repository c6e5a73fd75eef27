"""The markup of an HTML text, cut into tokens: tags, comments, references; broken markup is text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from html import unescape
from html.entities import html5
from typing import Final

_TAG_NAME: Final = re.compile(r"<(/?)([A-Za-z][^\t\n\f\r />]*+)")
_TAG_START: Final = re.compile(r"</?[A-Za-z]")
_ATTRIBUTE: Final = re.compile(
    r"""[\t\n\f\r /]*+(?:([^\t\n\f\r />=][^\t\n\f\r />=]*+|=[^\t\n\f\r />=]*+)"""
    r"""(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:"([^"]*+)"|'([^']*+)'|([^\t\n\f\r >"'][^\t\n\f\r >]*+))?)?)?"""
)
_REFERENCE: Final = re.compile(r"&(?:#[xX][0-9a-fA-F]{1,8};?|#[0-9]{1,9};?|[A-Za-z][0-9A-Za-z]{1,31};?)")
# Without its semicolon a reference does not count where a name goes on, or `?a=1&copy=2` would not be one URL.
_GOES_ON: Final = re.compile(r"[0-9A-Za-z=]")
_RAW_TEXT: Final = frozenset({"script", "style"})
_MARK: Final = re.compile(r"[<&]")


class TokenKind(Enum):
    """What a piece of HTML is."""

    TEXT = "text"
    REFERENCE = "reference"
    START_TAG = "start tag"
    END_TAG = "end tag"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of HTML; `text` is what a reference says, `href` an anchor's first one, read through references."""

    kind: TokenKind
    start: int
    end: int
    name: str = ""
    text: str = ""
    href: str | None = None


def tokens(html: str) -> Iterator[Token]:
    """The pieces of an HTML text, in order and without gaps; every character is looked at a fixed number of times."""
    return _Tokenizer(html).run()


def decode(value: str) -> str:
    """An attribute's value, read through its references."""
    return unescape(value) if "&" in value else value


def _reference(html: str, start: int) -> Token | None:
    found = _REFERENCE.match(html, start)
    if not found:
        return None
    written = found.group()
    if written[1] == "#":
        return Token(TokenKind.REFERENCE, start, found.end(), text=unescape(written) or "\ufffd")
    name = written[1:]
    for length in range(len(name), 1, -1):
        if name[:length] in html5 and not (name[length - 1] != ";" and _GOES_ON.match(html, start + 1 + length)):
            return Token(TokenKind.REFERENCE, start, start + 1 + length, text=html5[name[:length]])
    return None


class _Tokenizer:
    def __init__(self, html: str) -> None:
        self._html = html
        # Ends that the rest of the text does not hold: looked for once, not once for each beginning.
        self._absent: set[str] = set()

    def run(self) -> Iterator[Token]:
        html, position = self._html, 0
        while found := _MARK.search(html, position):
            if found.start() > position:
                yield Token(TokenKind.TEXT, position, found.start())
            token = _reference(html, found.start()) if found.group() == "&" else self._markup(found.start())
            token = token or Token(TokenKind.TEXT, found.start(), found.end())
            yield token
            position = token.end
            if token.kind is TokenKind.START_TAG and token.name in _RAW_TEXT:
                end = _raw_text_end(html, position, token.name)
                if end > position:
                    yield Token(TokenKind.HIDDEN, position, end)
                position = end
        if position < len(html):
            yield Token(TokenKind.TEXT, position, len(html))

    def _markup(self, start: int) -> Token | None:
        html = self._html
        if "tag" in self._absent and _TAG_START.match(html, start):
            return None
        if tag := _TAG_NAME.match(html, start):
            token = _tag(html, tag)
            if token is None:
                # A tag that never closes swallows the rest, so no later one can close either.
                self._absent.add("tag")
            return token
        if html.startswith("<!--", start):
            if html.startswith((">", "->"), start + 4):
                return Token(TokenKind.HIDDEN, start, html.index(">", start) + 1)
            return self._hidden(start, start + 4, "-->")
        if html.startswith(("<!", "<?", "</"), start):
            return self._hidden(start, start + 2, ">")
        return None

    def _hidden(self, start: int, after: int, closer: str) -> Token | None:
        if closer in self._absent:
            return None
        end = self._html.find(closer, after)
        if end < 0:
            self._absent.add(closer)
            return None
        return Token(TokenKind.HIDDEN, start, end + len(closer))


def _tag(html: str, tag: re.Match[str]) -> Token | None:
    position = tag.end()
    href: str | None = None
    while True:
        found = _ATTRIBUTE.match(html, position)
        end = found.end() if found else position
        if found and href is None and (found.group(1) or "").lower() == "href":
            href = decode(next((value for value in found.groups()[1:] if value is not None), ""))
        if html.startswith(">", end):
            kind = TokenKind.END_TAG if tag.group(1) else TokenKind.START_TAG
            return Token(kind, tag.start(), end + 1, tag.group(2).lower(), href=href)
        if end == position:
            return None
        position = end


def _raw_text_end(html: str, start: int, name: str) -> int:
    closing = re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE).search(html, start)
    return closing.start() if closing else len(html)
