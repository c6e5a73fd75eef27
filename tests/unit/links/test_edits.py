"""Edits: exact undo, a readable text form, and places that move with later edits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanup.links.edits import Edit, EditMismatch, invert, shift, splice, swap
from cleanup.links.logged_edits import decode_edits, encode_edits, plain_edits
from cleanup.links.spans import Span
from cleanup.links.words import Words
from cleanup.vocabulary import Decision

WORDS = Words(["[x]", "p/k/redact", "LINK"])


def span(start: int, end: int, replacement: str) -> Span:
    return Span(start, end, "p", "k", Decision.REDACT, "r", "h", replacement)


@st.composite
def changes(draw: st.DrawFn, text: str) -> list[Span]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pairs = list(zip(cuts[0::2], cuts[1::2], strict=False))
    return [span(start, end, draw(st.text("xy[]链", max_size=3))) for start, end in pairs]


texts = st.text("ab链\n💰", max_size=30)


@given(texts.flatmap(lambda text: st.tuples(st.just(text), changes(text))))
def test_invert_takes_a_splice_back(pair: tuple[str, list[Span]]) -> None:
    text, spans = pair
    change = splice(text, spans)
    assert invert(change.after, change.edits) == text
    assert decode_edits(encode_edits(change.edits, change.after, WORDS), WORDS) == change.edits
    undo = swap(change.edits)
    assert swap(undo) == change.edits
    assert invert(text, undo) == change.after
    assert all(text[edit.start : edit.end] == edit.inserted for edit in undo)


@given(st.data(), texts)
def test_shifted_edits_stand_where_they_say(data: st.DataObject, text: str) -> None:
    first = splice(text, data.draw(changes(text)))
    current, later = first.after, []
    for _ in range(data.draw(st.integers(0, 3))):
        change = splice(current, data.draw(changes(current)))
        later.append(change.edits)
        current = change.after
    shifted = shift(first.edits, later)
    assert len(shifted) == len(first.edits)
    kept = [edit for edit in shifted if edit is not None]
    assert [edit.start for edit in kept] == sorted(edit.start for edit in kept)
    for edit, origin in zip(shifted, first.edits, strict=True):
        if edit is not None:
            assert current[edit.start : edit.end] == edit.inserted == origin.inserted
            assert (edit.removed, edit.number, edit.label) == (origin.removed, origin.number, origin.label)


def test_a_later_edit_that_overlaps_leaves_none() -> None:
    first = splice("aa LINK bb", [span(3, 7, "[x]")])
    later = splice(first.after, [span(4, 8, "")])
    assert shift(first.edits, [later.edits]) == (None,)
    aside = splice(first.after, [span(0, 2, "longer")])
    assert shift(first.edits, [aside.edits]) == (Edit(7, "LINK", "[x]", 0, "p/k/redact"),)


@pytest.mark.parametrize("after", ["", "aa [y] bb", "aa [x", "[x] aa bb"])
def test_a_text_that_changed_is_a_mismatch(after: str) -> None:
    edits = splice("aa LINK bb", [span(3, 7, "[x]")]).edits
    with pytest.raises(EditMismatch, match="inserted at 3"):
        invert(after, edits)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[1]", "[[0,1,2]]", '[[-1,"a","b"]]', '[[true,"a","b"]]', '[[0,"a"]]', "[" * 9999),
        *(f'[[{said},"AAAAAAAAAAAAAAA"]]' for said in ('-1,"a","b",0,"l"', 'true,"a","b",0,"l"', '0,"a","b","0","l"')),
        *(
            f'[[0,"a",{said},"AAAAAAAAAAAAAAA"]]'
            for said in ('3,0,"l"', '-1,0,"l"', 'null,0,"l"', 'true,0,"l"', '1.0,0,"l"')
        ),
        '[[0,"a","b",0,"l","0"]]',
    ],
)
def test_an_edit_list_that_is_none_is_a_mismatch(text: str) -> None:
    with pytest.raises(EditMismatch):
        decode_edits(text, WORDS)


def test_spans_that_overlap_are_refused() -> None:
    with pytest.raises(EditMismatch, match="before the last one ends"):
        splice("abcdef", [span(0, 3, "x"), span(2, 4, "y")])


def test_spans_that_touch_give_one_placeholder_each() -> None:
    assert splice("abcd", [span(0, 2, "[x]"), span(2, 4, "[x]")]).after == "[x][x]"


def test_decisions_that_change_nothing_leave_no_edit() -> None:
    kept = Span(0, 2, "p", "k", Decision.KEEP, "r", "h")
    assert splice("abcd", [kept]).edits == ()


def test_the_text_form_is_stable() -> None:
    edits = [Edit(3, '链"接', "[x]", 0, "p/k/redact"), Edit(6, "b", "", 1)]
    after = "ab\n[x]"
    first = '[3,"链\\"接","[x]",0,"p/k/redact","Opg-qYPgAAAAAAA"]'
    assert encode_edits(edits, after, Words()) == f'[{first},[6,"b","",1,"","AAAAAAAAAAAAAAA"]]'
    first = '[3,"链\\"接",1,0,0,"Opg-qYPgAAAAAAA"]'
    words = Words(["p/k/redact", "[x]"])
    assert encode_edits(edits, after, words) == f'[{first},[6,"b","",1,"","AAAAAAAAAAAAAAA"]]'
    plain = [[3, '链"接', "[x]", 0, "p/k/redact", "Opg-qYPgAAAAAAA"], [6, "b", "", 1, "", "A" * 15]]
    assert plain_edits(encode_edits(edits, after, words), words) == plain
