"""Scanning a chunk: raw rows through the prefilter, decoding and exact matching only where it hits."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Final, NamedTuple

from cleanup.db.copy_rows import LINK_LETTER, LINK_MARK, NULL_LETTER, NULL_MARK, SCOPE_LETTER, Piece, ScannedRow
from cleanup.db.findings import Finding
from cleanup.db.tables import TextColumn
from cleanup.db.targets import SCOPES, Scope, Target
from cleanup.engine.matching import Matcher, refusal_of
from cleanup.engine.scan_counts import ScanCounts, SpanClass
from cleanup.engine.spans import bytes_hash, encode_spans, finding_hash
from cleanup.links.lines import lines_around
from cleanup.links.prefilter import Prefilter
from cleanup.links.spans import Recognition, Span
from cleanup.links.words import Words
from cleanup.vocabulary import ColumnFormat

# A chunk is read and matched in pieces of about this size, so that long posts do not swell a lane's memory.
PIECE_BYTES: Final = 2 * 1024 * 1024


class _Value(NamedTuple):
    """One text of a row, in UTF-8 where it stands in its piece, and the part of it that can hold links."""

    row: ScannedRow
    column: TextColumn
    start: int
    end: int
    part: tuple[int, int]

    def shown(self) -> str:
        """The part that can hold links."""
        return self.row.buffer[self.part[0] : self.part[1]].decode()

    def encoded(self) -> bytes:
        """All of it, in UTF-8."""
        return self.row.buffer[self.start : self.end]

    def text(self) -> str:
        """All of it, decoded."""
        return self.encoded().decode()

    def recognized(self, part: Recognition) -> Recognition:
        """What the whole text holds, given what the part does."""
        before = self.row.buffer[self.start : self.part[0]]
        return part.moved(len(before.decode())) if before and part.spans else part


class Scanner:
    """Turns the raw rows of one leaf into findings, without knowing where they come from."""

    def __init__(self, matcher: Matcher, prefilter: Prefilter, target: Target, words: Words) -> None:
        self._matcher = matcher
        self._prefilter = prefilter
        self._target = target
        self._words = words
        self._columns = target.table.columns
        self._has_link_rows = any(column.link_rows is not None for column in self._columns)

    def findings(self, pieces: Iterable[Piece], counts: ScanCounts, first_number: int = 0) -> Iterator[list[Finding]]:
        """The findings of each piece of the rows, as soon as it is read; `counts` grows with them.

        They are numbered as they come; a sweep needs no numbers.
        """
        numbers = count(first_number)
        for piece in pieces:
            _count_rows(piece, counts)
            yield list(self._find(list(self._values(piece, counts)), counts, numbers))

    def _places(self, piece: Piece) -> Iterable[tuple[int, Sequence[int] | None]]:
        """Which rows are worth a look, in order: the prefilter hits them, or they are links by what they say.

        With each comes where in the piece the hits are; None where every text of the row counts.
        """
        if not self._has_link_rows:
            return self._hit_places(piece)
        marked = [place for place, mark in enumerate(piece.letters(LINK_LETTER)) if mark == LINK_MARK]
        return ((place, None) for place in sorted({*marked, *(place for place, _ in self._hit_places(piece))}))

    def _hit_places(self, piece: Piece) -> Iterator[tuple[int, Sequence[int]]]:
        hits = self._prefilter.hits(piece.buffer)
        first = 0
        while first < len(hits):
            place = bisect_left(piece.ends, hits[first])
            behind = bisect_right(hits, piece.ends[place], first)
            yield place, hits[first:behind]
            first = behind

    def _values(self, piece: Piece, counts: ScanCounts) -> Iterator[_Value]:
        for place, hits in self._places(piece):
            counts.decoded += 1
            row = piece.row(place, len(self._columns))
            if row.scope is Scope.OUTSIDE:
                continue
            for column, bounds in zip(self._columns, row.texts, strict=True):
                if bounds is not None and (part := _part(piece.buffer, column, bounds, hits)):
                    yield _Value(row, column, *bounds, part)

    def _find(self, values: list[_Value], counts: ScanCounts, numbers: Iterator[int]) -> Iterator[Finding]:
        found = self._matcher.find([(value.column, value.shown()) for value in values])
        for value, recognition in zip(values, found, strict=True):
            if recognition.counted:
                counts.counted.update(recognition.counted)
            if recognition.spans or recognition.problem:
                _count(value, recognition, counts)
                finding = self._finding(next(numbers), value, value.recognized(recognition))
                if finding.refusal is not None:
                    counts.refusals[finding.refusal] += 1
                yield finding

    def _finding(self, number: int, value: _Value, recognition: Recognition) -> Finding:
        column, scope, place = value.column, value.row.scope, value.row.place()
        historical = scope is Scope.HISTORICAL
        refusal = refusal_of(column, recognition, value.text) if historical else None
        actionable = historical and refusal is None and _changes_text(recognition)
        finding = Finding(
            finding_number=number,
            leaf_number=self._target.leaf_number,
            column_number=column.number,
            scope=scope.stored,
            actionable=actionable,
            refusal=refusal,
            key=place.key,
            created_at=place.created_at,
            author=place.author,
            value_hash=bytes_hash(value.encoded()),
            finding_hash=b"",
            spans=encode_spans(recognition.spans, self._words),
        )
        return finding.sign(finding_hash(self._target.table.name, column.name, finding))


def _part(
    buffer: bytes, column: TextColumn, bounds: tuple[int, int], hits: Sequence[int] | None
) -> tuple[int, int] | None:
    """The part of a text that can hold links: of running text the lines with a hit, of markup all if there is one."""
    if hits is None:
        return bounds
    start, end = bounds
    inside = hits if len(hits) == 1 else hits[bisect_right(hits, start) : bisect_right(hits, end)]
    if not inside or not start < inside[0] <= end:
        return None
    return lines_around(buffer, start, end, inside[0], inside[-1]) if column.format is ColumnFormat.TEXT else bounds


def _count_rows(piece: Piece, counts: ScanCounts) -> None:
    for letter, number in Counter(piece.letters(SCOPE_LETTER)).items():
        counts.scopes[SCOPES[chr(letter)].stored] += number
    counts.null_predicates += piece.letters(NULL_LETTER).count(NULL_MARK)
    counts.rows += len(piece.ends)
    counts.bytes += len(piece.buffer)


def _changes_text(recognition: Recognition) -> bool:
    return any(span.decision.changes_text for span in recognition.spans)


def _count(value: _Value, recognition: Recognition, counts: ScanCounts) -> None:
    for span in recognition.spans:
        counts.spans[_class_of(value.row.scope, value.column, span)] += 1
        counts.hosts[span.host or span.kind] += 1


def _class_of(scope: Scope, column: TextColumn, span: Span) -> SpanClass:
    return (scope.stored, column.name, span.platform, span.kind, span.decision.value, span.reason)
