"""Rolling one value back: exact, shifted through our own later edits, put back beside an author's, or a conflict."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanup.db.batch_exchange import LockedRow
from cleanup.db.change_log import LogRow
from cleanup.db.selection import Selection
from cleanup.db.tables import TextColumn
from cleanup.db.targets import Scope
from cleanup.engine.rollback_judge import RollbackJudge
from cleanup.engine.spans import value_hash
from cleanup.engine.verdicts import Change, ConflictReason, Outcome, Verdict
from cleanup.links.edits import Edit, invert
from cleanup.links.logged_edits import encode_edits
from cleanup.links.words import Words
from cleanup.vocabulary import ColumnFormat

TAOBAO = "https://item.taobao.com/item.htm?id=1"
TMALL = "https://detail.tmall.com/item.htm?id=2"
BEFORE = f"看这里 {TAOBAO} 的裙子，还有 {TMALL} 那里的外套"
MARK = "[链接已移除]"
AFTER = f"看这里 {MARK} 的裙子，还有 {MARK} 那里的外套"
EDITS = (
    Edit(AFTER.index(MARK), TAOBAO, MARK, 0, "taobao/product/redact"),
    Edit(AFTER.rindex(MARK), TMALL, MARK, 1, "tmall/product/redact"),
)
# Each run is of a plan with other words.
WORDS = {
    run_id: Words([MARK, "tmall/product/redact", TMALL, "taobao/product/redact"][-run_id:]) for run_id in range(10)
}
ALL = Selection()
FAMILY = frozenset({1, 2, 3, 4})
PLACE = datetime(2021, 8, 2, tzinfo=UTC)


def logged(before: str | None, after: str | None, *edits: Edit, run_id: int = 1, outcome: str = "changed") -> LogRow:
    return LogRow(
        run_id=run_id,
        finding_number=1,
        run_pass=0,
        leaf_number=1,
        column_number=0,
        outcome=outcome,
        key=("1",),
        created_at=None,
        author=None,
        hash_before=value_hash(before),
        hash_after=value_hash(after),
        salt=b"",
        edits=encode_edits(edits, after or "", WORDS[run_id]),
        chain=b"",
        logged_at=PLACE + timedelta(minutes=run_id),
    )


def judged(
    item: LogRow,
    text: str | None,
    later: Sequence[LogRow] = (),
    selection: Selection = ALL,
    column_format: ColumnFormat = ColumnFormat.TEXT,
) -> Verdict:
    column = TextColumn(0, "body", column_format, (), "text", None)
    by_value: Mapping[int, Sequence[LogRow]] = {1: later} if later else {}
    judge = RollbackJudge([column], selection, by_value, FAMILY, WORDS)
    verdict = judge.judge(item, LockedRow(Scope.HISTORICAL, (text,)))
    assert sum(verdict.spans.values()) == judge.span_count(item)
    if verdict.change is not None:
        assert verdict.change.before == text
        assert invert(verdict.change.after or "", verdict.change.edits) == (text or "")
    return verdict


def change_of(verdict: Verdict) -> Change:
    assert verdict.change is not None, verdict
    return verdict.change


def as_row(verdict: Verdict, run_id: int) -> LogRow:
    """The log row that a rollback with that verdict would write."""
    change = change_of(verdict)
    return logged(change.before, change.after, *change.edits, run_id=run_id, outcome=verdict.outcome.value)


WHOLE = logged(BEFORE, AFTER, *EDITS)


def test_a_value_as_written_is_restored_exactly_and_the_undo_can_be_undone() -> None:
    verdict = judged(WHOLE, AFTER)
    assert verdict.outcome is Outcome.RESTORED
    assert change_of(verdict).after == BEFORE
    again = judged(as_row(verdict, 2), BEFORE)
    assert again.outcome is Outcome.RESTORED
    assert change_of(again).after == AFTER


@pytest.mark.parametrize("first", ["taobao", "tmall"])
def test_parts_go_back_in_any_order_byte_for_byte(first: str) -> None:
    second = {"taobao": "tmall", "tmall": "taobao"}[first]
    link, stays = (TAOBAO, 1) if first == "taobao" else (TMALL, 0)
    one = judged(WHOLE, AFTER, selection=Selection(platforms=(first,)))
    half = change_of(one).after
    assert half is not None
    assert link in half
    assert half.count(MARK) == 1
    assert (one.outcome, one.spans) == (Outcome.RESTORED, {"restored": 1})
    row = as_row(one, 2)
    # The same part once more has nothing to do, the whole has the rest to do, and so has the other part.
    assert judged(WHOLE, half, [row], Selection(platforms=(first,))).outcome is Outcome.ALREADY_RESTORED
    assert judged(WHOLE, half, [row]).spans == {"restored": 1, "already_restored": 1}
    rest = judged(WHOLE, half, [row], Selection(platforms=(second,)))
    assert change_of(rest).after == BEFORE
    # The first part's rollback is rolled back beneath the second one.
    back = judged(row, BEFORE, [as_row(rest, 3)])
    assert change_of(back).after == BEFORE.replace(link, MARK)
    assert [edit.number for edit in change_of(back).edits] == [1 - stays]


def test_a_part_that_was_given_back_and_taken_again_goes_back_again() -> None:
    part = Selection(platforms=("taobao",))
    given = judged(WHOLE, AFTER, selection=part)
    row = as_row(given, 2)
    taken = as_row(judged(row, change_of(given).after), 3)
    verdict = judged(WHOLE, AFTER, [row, taken])
    assert change_of(verdict).after == BEFORE


def test_selections_choose_links_by_each_of_their_labels() -> None:
    for selection in (
        Selection(kinds=("product",)),
        Selection(decisions=("redact",)),
        Selection(platforms=("tmall", "taobao")),
    ):
        assert change_of(judged(WHOLE, AFTER, selection=selection)).after == BEFORE
    assert judged(WHOLE, AFTER, selection=Selection(kinds=("shop",))).outcome is Outcome.ALREADY_RESTORED


def test_an_earlier_run_is_undone_beneath_a_later_one() -> None:
    middle = BEFORE.replace(TMALL, MARK)
    earlier = logged(BEFORE, middle, Edit(middle.index(MARK), TMALL, MARK))
    later = replace(logged(middle, AFTER, EDITS[0], run_id=9), finding_number=5)
    verdict = judged(earlier, AFTER, [later])
    assert change_of(verdict).after == BEFORE.replace(TAOBAO, MARK)


def test_what_a_later_plan_wrote_over_is_that_plans_to_give_back() -> None:
    over = AFTER.replace(MARK, "(无)", 1)
    later = replace(logged(AFTER, over, Edit(AFTER.index(MARK), MARK, "(无)"), run_id=9), finding_number=5)
    verdict = judged(WHOLE, over, [later])
    assert verdict.outcome is Outcome.RESTORED_IN_PART
    assert [(one.link_number, one.reason) for one in verdict.conflicts] == [(0, ConflictReason.OVERWRITTEN)]
    assert change_of(verdict).after == over.replace(MARK, TMALL)


def test_links_go_back_beside_what_the_author_wrote_since() -> None:
    now = "【更新】" + AFTER.replace("还有", "另外还有") + "，已售罄"
    verdict = judged(WHOLE, now)
    assert (verdict.outcome, verdict.edited) == (Outcome.RESTORED_AFTER_EDIT, True)
    assert change_of(verdict).after == "【更新】" + BEFORE.replace("还有", "另外还有") + "，已售罄"
    # And that rollback is undone in turn, beside what the author writes then.
    again = judged(as_row(verdict, 2), (change_of(verdict).after or "") + "！")
    assert again.outcome is Outcome.RESTORED_AFTER_EDIT
    assert change_of(again).after == now + "！"


def test_an_edit_between_two_parts_is_kept() -> None:
    one = judged(WHOLE, AFTER, selection=Selection(platforms=("tmall",)))
    now = (change_of(one).after or "").replace("看这里", "大家看这里")
    rest = judged(WHOLE, now, [as_row(one, 2)])
    assert rest.spans == {"restored": 1, "already_restored": 1}
    assert change_of(rest).after == BEFORE.replace("看这里", "大家看这里")


def test_a_link_whose_place_is_gone_is_a_conflict_and_the_other_goes_back() -> None:
    now = AFTER[: AFTER.index("，还有")]
    verdict = judged(WHOLE, now)
    assert verdict.outcome is Outcome.RESTORED_IN_PART
    assert change_of(verdict).after == BEFORE[: BEFORE.index("，还有")]
    assert [(one.link_number, one.reason) for one in verdict.conflicts] == [(1, ConflictReason.NOT_FOUND)]


@pytest.mark.parametrize("text", [None, "作者全部重写了这篇笔记"])
def test_a_value_that_says_something_else_is_a_conflict(text: str | None) -> None:
    verdict = judged(WHOLE, text)
    assert (verdict.outcome, verdict.change) == (Outcome.CONFLICT, None)
    reason = ConflictReason.VALUE_IS_NULL if text is None else ConflictReason.NOT_FOUND
    assert {one.reason for one in verdict.conflicts} == {reason}


def test_a_restored_value_stays() -> None:
    assert judged(WHOLE, BEFORE).outcome is Outcome.ALREADY_RESTORED


def test_a_log_row_that_does_not_lead_back_is_a_conflict() -> None:
    forged = encode_edits([EDITS[0]._replace(removed="https://x.cn/"), EDITS[1]], AFTER, WORDS[1])
    verdict = judged(replace(WHOLE, edits=forged), AFTER)
    assert (verdict.outcome, verdict.change) == (Outcome.CONFLICT, None)
    assert {one.reason for one in verdict.conflicts} == {ConflictReason.LOG_DIFFERS}


def test_a_value_that_was_set_to_null_goes_back_and_forth() -> None:
    row = logged(TAOBAO, None, Edit(0, TAOBAO, "", 0, "taobao/product/redact"))
    verdict = judged(row, None)
    assert change_of(verdict).after == TAOBAO
    assert change_of(judged(as_row(verdict, 2), TAOBAO)).after is None
    assert judged(row, "https://example.org/").outcome is Outcome.CONFLICT


def test_a_link_is_not_put_where_it_would_break_the_json() -> None:
    before, after = '{"a":"看 \\"x\\" 这里的裙子"}', '{"a":"看 M 这里的裙子"}'
    row = logged(before, after, Edit(after.index("M"), '\\"x\\"', "M"))
    edited = after.replace("}", ',"b":1}')
    verdict = judged(row, edited, column_format=ColumnFormat.JSON)
    assert change_of(verdict).after == before.replace("}", ',"b":1}')
    broken = replace(row, edits=row.edits.replace('\\\\\\"x\\\\\\"', '\\"x\\"'))
    verdict = judged(broken, edited, column_format=ColumnFormat.JSON)
    assert {one.reason for one in verdict.conflicts} == {ConflictReason.WOULD_BREAK_JSON}
    assert verdict.change is None


@given(st.text("看这里的裙子" + MARK, max_size=30))
def test_no_author_loses_a_character(now: str) -> None:
    verdict = judged(WHOLE, now)
    if verdict.change is not None:
        put_back = (verdict.change.after or "").replace(TAOBAO, MARK).replace(TMALL, MARK)
        assert put_back == now
