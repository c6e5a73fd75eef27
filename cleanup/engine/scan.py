"""Scanning a chunk: raw rows through the prefilter, decoding and exact matching only where it hits."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final

from cleanup.db.copy_rows import LETTERS_PER_ROW, LINK_MARK, Piece, ScannedRow, decode_row
from cleanup.db.findings import Finding
from cleanup.db.tables import TextColumn
from cleanup.db.targets import Scope, Target
from cleanup.engine.matching import Matcher, refusal_of
from cleanup.engine.scan_counts import ScanCounts, SpanClass
from cleanup.engine.spans import encode_spans, finding_hash, value_hash
from cleanup.links.prefilter import Prefilter
from cleanup.links.spans import Recognition, Span
from cleanup.links.words import Words

# A chunk is read and matched in pieces of about this size, so that long posts do not swell a lane's memory.
PIECE_BYTES: Final = 2 * 1024 * 1024


class Scanner:
    """Turns the raw rows of one leaf into findings, without knowing where they come from."""

    def __init__(self, matcher: Matcher, prefilter: Prefilter, target: Target, words: Words) -> None:
        self._matcher = matcher
        self._prefilter = prefilter
        self._target = target
        self._words = words
        self._key_columns = len(target.table.key)
        self._has_link_rows = any(column.link_rows is not None for column in target.table.columns)

    def findings(self, pieces: Iterable[Piece], counts: ScanCounts, first_number: int = 0) -> Iterator[list[Finding]]:
        """The findings of each piece of the rows, as soon as it is read; `counts` grows with them.

        They are numbered as they come; a sweep needs no numbers.
        """
        numbers = count(first_number)
        for piece in pieces:
            yield list(self._find(list(self._values(piece, counts)), counts, numbers))

    def _candidates(self, piece: Piece, counts: ScanCounts) -> Iterator[ScannedRow]:
        for letter, number in Counter(piece.letters[::LETTERS_PER_ROW]).items():
            counts.scopes[Scope(chr(letter)).stored] += number
        counts.null_predicates += piece.letters[1::LETTERS_PER_ROW].count(b"n")
        counts.rows += len(piece.ends)
        counts.bytes += len(piece.buffer)
        for place, hits in self._places(piece):
            counts.decoded += 1
            yield decode_row(piece.row(place), self._key_columns, hits)

    def _places(self, piece: Piece) -> Iterable[tuple[int, list[int] | None]]:
        """Which rows are worth decoding, in order: the prefilter hits them, or they are links by what they say.

        With each comes where in it the hits are; None where every text of the row counts.
        """
        if not self._has_link_rows:
            return self._hit_places(piece)
        marked = [place for place, mark in enumerate(piece.letters[2::LETTERS_PER_ROW]) if mark == LINK_MARK]
        return ((place, None) for place in sorted({*marked, *(place for place, _ in self._hit_places(piece))}))

    def _hit_places(self, piece: Piece) -> Iterator[tuple[int, list[int]]]:
        hits = self._prefilter.hits(piece.buffer)
        first = 0
        while first < len(hits):
            place = bisect_left(piece.ends, hits[first])
            behind = bisect_right(hits, piece.ends[place], first)
            start = piece.start(place)
            yield place, [hit - start for hit in hits[first:behind]]
            first = behind

    def _values(self, piece: Piece, counts: ScanCounts) -> Iterator[tuple[ScannedRow, TextColumn, str]]:
        for row in self._candidates(piece, counts):
            if row.scope is Scope.OUTSIDE:
                continue
            for column, text in zip(self._target.table.columns, row.texts, strict=True):
                if text is not None:
                    yield row, column, text

    def _find(
        self, values: list[tuple[ScannedRow, TextColumn, str]], counts: ScanCounts, numbers: Iterator[int]
    ) -> Iterator[Finding]:
        found = self._matcher.find([(column, text) for _, column, text in values])
        for (row, column, text), recognition in zip(values, found, strict=True):
            counts.counted.update(recognition.counted)
            if recognition.spans or recognition.problem:
                _count(row, column, recognition, counts)
                finding = self._finding(next(numbers), row, column, text, recognition)
                if finding.refusal is not None:
                    counts.refusals[finding.refusal] += 1
                yield finding

    def _finding(
        self, number: int, row: ScannedRow, column: TextColumn, text: str, recognition: Recognition
    ) -> Finding:
        historical = row.scope is Scope.HISTORICAL
        refusal = refusal_of(column, text, recognition) if historical else None
        actionable = historical and refusal is None and _changes_text(recognition)
        finding = Finding(
            finding_number=number,
            leaf_number=self._target.leaf_number,
            column_number=column.number,
            scope=row.scope.stored,
            actionable=actionable,
            refusal=refusal,
            key=row.key,
            created_at=row.created_at,
            author=row.author,
            value_hash=value_hash(text),
            finding_hash=b"",
            spans=encode_spans(recognition.spans, self._words),
        )
        return finding.sign(finding_hash(self._target.table.name, column.name, finding))


def _changes_text(recognition: Recognition) -> bool:
    return any(span.decision.changes_text for span in recognition.spans)


def _count(row: ScannedRow, column: TextColumn, recognition: Recognition, counts: ScanCounts) -> None:
    for span in recognition.spans:
        counts.spans[_class_of(row.scope, column, span)] += 1
        counts.hosts[span.host or span.kind] += 1


def _class_of(scope: Scope, column: TextColumn, span: Span) -> SpanClass:
    return (scope.stored, column.name, span.platform, span.kind, span.decision.value, span.reason)
