"""The demo's posts: a pure function of table, number of rows and seed, and the same on every machine.

About 4 % of the rows hold links that the policy names, 4 % links of other shops, 1 % live rooms, affiliated
shops and links that only a person can judge. One row in a hundred belongs to a live-stream, where links are
frequent; some 3 % of the rows were written after the cutover.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from random import Random
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from cleanup.demo import phrases

SHANGHAI: Final = timezone(timedelta(hours=8))
FIRST: Final = datetime(2020, 7, 1, tzinfo=SHANGHAI)
END: Final = datetime(2021, 8, 16, tzinfo=SHANGHAI)

_PARAGRAPHS: Final = 512
_AUTHORS: Final = 5_000
_OURS_UP_TO: Final = 0.04
_OTHERS_UP_TO: Final = 0.08
_LIVE_UP_TO: Final = 0.084
_AFFILIATED_UP_TO: Final = 0.088
_UNCERTAIN_UP_TO: Final = 0.09
_LIVE_ROWS: Final = 0.01
_LIVE_ROWS_WITH_LINKS: Final = 0.3
_SHARE_CODES: Final = 0.2
_SECOND_LINKS: Final = 0.15
_LINKS_IN_TITLES: Final = 0.04
_ALPHABET: Final = digits + ascii_lowercase + ascii_uppercase


class Note(NamedTuple):
    """A row of `note`, in the order of its columns."""

    id: int
    author_id: int
    created_at: datetime
    is_live: bool
    title: str
    body: str


class ArchivedNote(NamedTuple):
    """A row of `note_archive`, in the order of its columns."""

    id: int
    author_id: int
    created_at: datetime
    body: str


class Comment(NamedTuple):
    """A row of `comment`, in the order of its columns; `note_id` is a row of `note`."""

    id: UUID
    note_id: int
    author_id: int
    created_at: datetime
    body: str


Post: TypeAlias = Note | ArchivedNote | Comment

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "note": Note._fields,
    "note_archive": ArchivedNote._fields,
    "comment": Comment._fields,
}


def generate_rows(table: str, rows: int, seed: int, *, notes: int | None = None) -> Iterator[Post]:
    """The rows of one demo table in the order of `COLUMNS[table]`, ready for COPY.

    `notes` says how many rows `note` has, for the comments to refer to; by default as many as there are comments.
    Raises KeyError for a table that is not the demo's.
    """
    writer = _Writer(Random(f"{seed}/{table}"))  # noqa: S311 -- repeatable is what it has to be
    if table == "note":
        return _notes(writer, rows)
    if table == "note_archive":
        return _archived_notes(writer, rows)
    if table == "comment":
        return _comments(writer, rows, rows if notes is None else notes)
    raise KeyError(table)


def _notes(writer: "_Writer", rows: int) -> Iterator[Note]:
    for number, created_at in enumerate(writer.instants(rows), start=1):
        is_live = writer.chance() < _LIVE_ROWS
        linked = writer.linked(often=is_live)
        title = writer.one_of(phrases.TITLES)
        if linked and writer.chance() < _LINKS_IN_TITLES:
            title, linked = f"{title} {linked}", ""
        yield Note(number, writer.author(), created_at, is_live, title[:200], writer.body(3, linked))


def _archived_notes(writer: "_Writer", rows: int) -> Iterator[ArchivedNote]:
    for number, created_at in enumerate(writer.instants(rows), start=1):
        yield ArchivedNote(number, writer.author(), created_at, writer.body(2, writer.linked()))


def _comments(writer: "_Writer", rows: int, notes: int) -> Iterator[Comment]:
    for created_at in writer.instants(rows):
        identifier = UUID(int=writer.bits(128), version=4)
        note = 1 + writer.below(max(notes, 1))
        yield Comment(identifier, note, writer.author(), created_at, writer.body(1, writer.linked()))


class _Writer:
    """Everything that is drawn by lot; built on random() and getrandbits(), whose sequences Python promises to keep."""

    def __init__(self, lot: Random) -> None:
        self.chance = lot.random
        self.bits = lot.getrandbits
        self._paragraphs = tuple(self._paragraph() for _ in range(_PARAGRAPHS))

    def below(self, limit: int) -> int:
        return int(self.chance() * limit)

    def one_of(self, choices: tuple[str, ...]) -> str:
        return choices[int(self.chance() * len(choices))]

    def author(self) -> int:
        return 1 + self.below(_AUTHORS)

    def instants(self, rows: int) -> Iterator[datetime]:
        """Ascending, evenly spread with some jitter."""
        step = (END - FIRST) / max(rows, 1)
        for number in range(rows):
            yield FIRST + step * (number + self.chance())

    def body(self, paragraphs: int, linked: str) -> str:
        pieces = [self.one_of(self._paragraphs) for _ in range(paragraphs)]
        if linked:
            # Behind a sentence or before the first, with no blank around it: so authors paste.
            which = self.below(paragraphs)
            text = pieces[which]
            place = 1 + text.rfind("。", 0, self.below(len(text) + 1))
            pieces[which] = text[:place] + linked + text[place:]
        return "\n".join(pieces)

    def linked(self, *, often: bool = False) -> str:
        """A sentence around a link, or nothing; links of live-stream rows are ours."""
        lot = self.chance()
        if often:
            lot = 0.0 if lot < _LIVE_ROWS_WITH_LINKS else 1.0
        if lot < _OURS_UP_TO:
            return self._ours() + (self._ours() if self.chance() < _SECOND_LINKS else "")
        for limit, links in (
            (_OTHERS_UP_TO, phrases.OTHER_SHOPS),
            (_LIVE_UP_TO, phrases.LIVE_ROOMS),
            (_AFFILIATED_UP_TO, phrases.AFFILIATED),
            (_UNCERTAIN_UP_TO, phrases.UNCERTAIN),
        ):
            if lot < limit:
                return self._framed(phrases.FRAMES, links)
        return ""

    def _ours(self) -> str:
        if self.chance() < _SHARE_CODES:
            return self._framed(phrases.CODE_FRAMES, phrases.CODES)
        return self._framed(phrases.FRAMES, phrases.OURS)

    def _framed(self, frames: tuple[str, ...], links: tuple[str, ...]) -> str:
        link = self.one_of(links)
        filled = link.format(
            n=500_000_000_000 + self.below(150_000_000_000),
            hex=f"{self.bits(96):024x}",
            token=self._letters(7),
            code=self._letters(11),
        )
        return self.one_of(frames).format(link=filled)

    def _letters(self, length: int) -> str:
        free = "".join(_ALPHABET[self.below(62)] for _ in range(length - 3))
        return f"{digits[self.below(10)]}{ascii_uppercase[self.below(26)]}{free}{ascii_lowercase[self.below(26)]}"

    def _paragraph(self) -> str:
        sentences = (self.one_of(phrases.SENTENCES) for _ in range(2 + self.below(4)))
        return f"{self.one_of(phrases.OPENINGS)}{''.join(sentences)}{self.one_of(phrases.CLOSINGS)}"
