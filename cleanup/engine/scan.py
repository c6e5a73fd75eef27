"""Scanning a chunk: raw rows through the prefilter, decoding and exact matching only where it hits."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import accumulate
from operator import itemgetter
from typing import Final

from cleanup.db.copy_rows import LINK_MARK, LINK_MARK_PLACE, SCOPE_SLICE, ScannedRow, decode_row
from cleanup.db.findings import Finding
from cleanup.db.tables import TextColumn
from cleanup.db.targets import Scope, Target
from cleanup.engine.matching import Matcher, refusal_of
from cleanup.engine.scan_counts import ScanCounts, SpanClass
from cleanup.engine.spans import encode_spans, finding_hash, value_hash
from cleanup.links.prefilter import Prefilter
from cleanup.links.spans import Recognition, Span

# A chunk is matched in pieces of about this size, so that long posts do not swell a lane's memory.
BUFFER_BYTES: Final = 8 * 1024 * 1024

_scope_letters: Final = itemgetter(SCOPE_SLICE)


class Scanner:
    """Turns the raw rows of one leaf into findings, without knowing where they come from."""

    def __init__(self, matcher: Matcher, prefilter: Prefilter, target: Target) -> None:
        self._matcher = matcher
        self._prefilter = prefilter
        self._target = target
        self._key_columns = len(target.table.key)
        self._has_link_rows = any(column.link_rows is not None for column in target.table.columns)

    def pieces(self, blocks: Iterable[bytes], counts: ScanCounts) -> Iterator[list[Finding]]:
        """The findings of each piece of the rows, as soon as it is read; `counts` grows with them.

        The findings have no number yet: a scan gives them theirs, a sweep needs none.
        """
        for rows in _pieces(blocks, BUFFER_BYTES):
            yield list(self._find(list(self._values(rows, counts)), counts))

    def _candidates(self, rows: list[bytes], counts: ScanCounts) -> Iterator[ScannedRow]:
        for letters, number in Counter(map(_scope_letters, rows)).items():
            counts.scopes[Scope(chr(letters[0])).stored] += number
            counts.null_predicates += number if letters[1:] == b"n" else 0
        buffer = b"".join(rows)
        counts.rows += len(rows)
        counts.bytes += len(buffer)
        ends = list(accumulate(map(len, rows)))
        for place in self._places(rows, ends, buffer):
            counts.decoded += 1
            yield decode_row(rows[place], self._key_columns)

    def _places(self, rows: list[bytes], ends: list[int], buffer: bytes) -> Iterable[int]:
        """Which rows are worth decoding, in order: the prefilter hits them, or they are links by what they say."""
        if not self._has_link_rows:
            return self._hit_places(ends, buffer)
        marked = [place for place, row in enumerate(rows) if row[LINK_MARK_PLACE] == LINK_MARK]
        return sorted({*marked, *self._hit_places(ends, buffer)})

    def _hit_places(self, ends: list[int], buffer: bytes) -> Iterator[int]:
        seen_to = 0
        for hit in self._prefilter.hits(buffer):
            if hit > seen_to:
                place = bisect_left(ends, hit)
                seen_to = ends[place]
                yield place

    def _values(self, rows: list[bytes], counts: ScanCounts) -> Iterator[tuple[ScannedRow, TextColumn, str]]:
        for row in self._candidates(rows, counts):
            if row.scope is Scope.OUTSIDE:
                continue
            for column, text in zip(self._target.table.columns, row.texts, strict=True):
                if text is not None:
                    yield row, column, text

    def _find(self, values: list[tuple[ScannedRow, TextColumn, str]], counts: ScanCounts) -> Iterator[Finding]:
        found = self._matcher.find([(column, text) for _, column, text in values])
        for (row, column, text), recognition in zip(values, found, strict=True):
            counts.counted.update(recognition.counted)
            if recognition.spans or recognition.problem:
                yield self._finding(row, column, text, recognition, counts)

    def _finding(
        self, row: ScannedRow, column: TextColumn, text: str, recognition: Recognition, counts: ScanCounts
    ) -> Finding:
        refusal = refusal_of(column, text, recognition) if row.scope is Scope.HISTORICAL else None
        if refusal is not None:
            counts.refusals[refusal] += 1
        for span in recognition.spans:
            counts.spans[_class_of(row.scope, column, span)] += 1
            counts.hosts[span.host or span.kind] += 1
        finding = Finding(
            finding_number=0,
            leaf_number=self._target.leaf_number,
            column_number=column.number,
            scope=row.scope.stored,
            actionable=refusal is None
            and row.scope is Scope.HISTORICAL
            and any(span.decision.changes_text for span in recognition.spans),
            refusal=refusal,
            key=row.key,
            created_at=row.created_at,
            author=row.author,
            value_hash=value_hash(text),
            finding_hash=b"",
            spans=encode_spans(recognition.spans),
        )
        return replace(finding, finding_hash=finding_hash(self._target.table.name, column.name, finding))


def _class_of(scope: Scope, column: TextColumn, span: Span) -> SpanClass:
    return (scope.stored, column.name, span.platform, span.kind, span.decision.value, span.reason)


def _pieces(blocks: Iterable[bytes], limit_bytes: int) -> Iterator[list[bytes]]:
    piece: list[bytes] = []
    size = 0
    for block in blocks:
        piece.append(block)
        size += len(block)
        if size >= limit_bytes:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
