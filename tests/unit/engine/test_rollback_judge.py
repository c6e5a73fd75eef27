"""Rolling one value back: exact, shifted through our own later edits, or a conflict."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from cleanup.db.batch_session import LockedRow
from cleanup.db.change_log import LogRow
from cleanup.db.targets import Scope
from cleanup.engine.rollback_judge import RollbackJudge
from cleanup.engine.spans import value_hash
from cleanup.engine.verdicts import Outcome
from cleanup.links.edits import Edit, encode_edits, invert

BEFORE = "看 https://item.taobao.com/item.htm?id=1 这里，还有 https://detail.tmall.com/item.htm?id=2 那里"
FIRST = "https://item.taobao.com/item.htm?id=1"
SECOND = "https://detail.tmall.com/item.htm?id=2"
MARK = "[链接已移除]"


def change(before: str, link: str) -> tuple[str, Edit]:
    start = before.index(link)
    return before.replace(link, MARK), Edit(start, link, MARK)


def logged(before: str, after: str, *edits: Edit, run_id: int = 1) -> LogRow:
    return LogRow(
        run_id=run_id,
        finding_number=1,
        run_pass=0,
        leaf_number=1,
        column_number=0,
        outcome="changed",
        value_id=7,
        key=("1",),
        created_at=None,
        author=None,
        hash_before=value_hash(before),
        hash_after=value_hash(after),
        salt=b"",
        edits=encode_edits(edits),
        chain=b"",
        logged_at=datetime(2021, 8, 2, tzinfo=UTC),
    )


def row(text: str | None) -> LockedRow:
    return LockedRow(Scope.HISTORICAL, (text,))


def test_a_value_as_written_is_restored_exactly_and_the_undo_can_be_undone() -> None:
    after, edit = change(BEFORE, FIRST)
    verdict = RollbackJudge({}).judge(logged(BEFORE, after, edit), row(after))
    assert verdict.outcome is Outcome.RESTORED
    assert verdict.change is not None
    assert verdict.change.after == BEFORE
    assert invert(BEFORE, verdict.change.edits) == after


def test_an_earlier_run_is_undone_beneath_a_later_one() -> None:
    middle, second = change(BEFORE, SECOND)
    after, first = change(middle, FIRST)
    earlier = logged(BEFORE, middle, second)
    later = logged(middle, after, first, run_id=2)
    verdict = RollbackJudge({7: [later]}).judge(earlier, row(after))
    assert verdict.change is not None
    assert verdict.change.after == change(BEFORE, FIRST)[0]


def test_a_gap_in_the_later_history_is_a_conflict() -> None:
    middle, second = change(BEFORE, SECOND)
    after, first = change(middle + "作者补充", FIRST)
    later = logged(middle + "作者补充", after, first, run_id=2)
    verdict = RollbackJudge({7: [later]}).judge(logged(BEFORE, middle, second), row(after))
    assert verdict.outcome is Outcome.CONFLICT


def test_an_edited_value_is_a_conflict_and_a_restored_one_stays() -> None:
    after, edit = change(BEFORE, FIRST)
    log_row = logged(BEFORE, after, edit)
    judge = RollbackJudge({})
    assert judge.judge(log_row, row(after + "！")).outcome is Outcome.CONFLICT
    assert judge.judge(log_row, row(None)).outcome is Outcome.CONFLICT
    assert judge.judge(log_row, row(BEFORE)).outcome is Outcome.ALREADY_RESTORED


def test_a_log_row_that_does_not_lead_back_is_a_conflict() -> None:
    after, edit = change(BEFORE, FIRST)
    forged = replace(logged(BEFORE, after, edit), edits=encode_edits([replace(edit, removed="https://x.cn/")]))
    assert RollbackJudge({}).judge(forged, row(after)).outcome is Outcome.CONFLICT


@given(st.text(), st.text(min_size=1), st.text())
def test_any_other_text_is_never_written_over(head: str, link: str, now: str) -> None:
    after = head + MARK
    log_row = logged(head + link, after, Edit(len(head), link, MARK))
    verdict = RollbackJudge({}).judge(log_row, row(now))
    if now not in (after, head + link):
        assert verdict.change is None
