"""What holds for every text: nothing outside a span changes, undo is exact, a second pass finds nothing."""

import json
from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cleanup.links.edits import invert, splice, swap
from cleanup.links.finder import Finder
from cleanup.links.prefilter import Prefilter
from cleanup.links.spans import Span
from cleanup.vocabulary import ColumnFormat
from tests.unit.links.texts import values

FORMATS = [ColumnFormat.TEXT, ColumnFormat.HTML, ColumnFormat.MARKDOWN, ColumnFormat.JSON]
any_value = st.sampled_from(FORMATS).flatmap(lambda fmt: st.tuples(st.just(fmt), values(fmt)))


def _check_order(value: str, spans: tuple[Span, ...], start: int, end: int) -> None:
    for span in spans:
        assert start <= span.start < span.end <= end
        assert (span.replacement is not None) == span.decision.changes_text
        _check_order(value, span.children, span.start, span.end)
        start = span.end


@given(any_value)
@example((ColumnFormat.TEXT, "https://m.tb.cn/h.4AbcDe7item.taobao.com/item.htm"))
@example((ColumnFormat.TEXT, "淘宝 啊Ab3dEf6hIj9啊Zz9yYx8wWv7啊"))
def test_spans_undo_and_second_pass(finder: Finder, pair: tuple[ColumnFormat, str]) -> None:
    column_format, value = pair
    spans = finder.find(value, column_format).spans
    _check_order(value, spans, 0, len(value))
    change = splice(value, spans)
    assert invert(change.after, change.edits) == value
    undo = swap(change.edits)
    assert invert(value, undo) == change.after
    outside = [value[left.end : right.start] for left, right in pairwise(spans)]
    assert all(piece in change.after for piece in outside)
    again = finder.find(change.after, column_format)
    assert not any(span.decision.changes_text for span in again.spans), change.after


@given(any_value)
def test_the_prefilter_misses_nothing(
    finder: Finder, prefilters: Mapping[ColumnFormat, Prefilter], pair: tuple[ColumnFormat, str]
) -> None:
    column_format, value = pair
    found = finder.find(value, column_format)
    row = value.encode("utf-8")
    framed = b"\x00\x02\x00\x00\x00\x04abcd" + len(row).to_bytes(4, "big") + row + b"\x00\x02"
    hits = prefilters[column_format].hits(framed)
    assert list(hits) == sorted(hits)
    if found.spans or found.counted:
        start = len(framed) - 2 - len(row)
        assert any(start < hit <= start + len(row) for hit in hits), value


def _leaves(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [leaf for item in value.values() for leaf in _leaves(item)] if isinstance(value, dict) else []


def _shape(value: object) -> object:
    if isinstance(value, list):
        return [_shape(item) for item in value]
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    return "" if isinstance(value, str) else value


@given(values(ColumnFormat.JSON))
def test_a_json_document_stays_the_same_but_for_its_leaves(finder: Finder, document: str) -> None:
    found = finder.find(document, ColumnFormat.JSON)
    after = splice(document, found.spans).after
    try:
        before = json.loads(document)
    except ValueError:
        assert found.problem is not None or document.strip() in ("NaN", "Infinity", "-Infinity")
        assert after == document
        return
    assert found.problem is None
    changed = json.loads(after)
    assert _shape(changed) == _shape(before)
    for old, new in zip(_leaves(before), _leaves(changed), strict=True):
        if not any("\ud800" <= mark <= "\udfff" for mark in old):
            expected = splice(old, finder.find(old, ColumnFormat.TEXT).spans).after
            assert new == expected


@pytest.mark.parametrize("column_format", list(ColumnFormat))
@given(st.text(max_size=60))
def test_nothing_raises_on_any_text(finder: Finder, column_format: ColumnFormat, text: str) -> None:
    found = finder.find(text, column_format)
    assert invert(splice(text, found.spans).after, splice(text, found.spans).edits) == text
    finder.lookups(text, column_format)
