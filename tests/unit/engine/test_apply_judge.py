"""Applying a finding to a row as it is now."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cleanup.config import Undated
from cleanup.db.batch_exchange import LockedRow
from cleanup.db.findings import Finding
from cleanup.db.tables import KeyColumn, Leaf, Table, TextColumn
from cleanup.db.targets import Scope, Target
from cleanup.engine.apply_judge import ApplyJudge
from cleanup.engine.matching import Matcher
from cleanup.engine.spans import encode_spans, finding_hash, value_hash
from cleanup.engine.verdicts import Outcome
from cleanup.errors import DigestDiffers
from cleanup.links.finder import Finder
from cleanup.links.policy import Policy, load_policy
from cleanup.links.words import Words
from cleanup.resources import config_directory
from cleanup.vocabulary import ColumnFormat

LINK = "https://item.taobao.com/item.htm?id=1"
TEXT = f"同款{LINK}，京东的 https://item.jd.com/1.html 不动"
CLEAN = "同款[链接已移除]，京东的 https://item.jd.com/1.html 不动"

COLUMN = TextColumn(0, "body", ColumnFormat.TEXT, (), "character varying(60)", 60)
TABLE = Table(
    name="public.note",
    key=(KeyColumn("id", "bigint"),),
    columns=(COLUMN,),
    created_at="created_at",
    created_at_time_zone=None,
    author=None,
    exempt=None,
    where=None,
    exempt_by=None,
    undated=Undated.LEAVE,
    leaves=(Leaf(1, "public", "note", 0),),
)

# As of another policy: some of what is said is a word, and some is not.
WORDS = Words(["keep", "redact", "taobao", "[链接已移除]"])


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(config_directory() / "policy-xiaohongshu-2021.toml")


@pytest.fixture(scope="module")
def finder(policy: Policy) -> Finder:
    return Finder(policy)


@pytest.fixture(scope="module")
def judge(policy: Policy) -> ApplyJudge:
    return ApplyJudge(
        Matcher(policy, None), Target(TABLE, TABLE.leaves[0], 1, datetime(2021, 8, 1, 16, tzinfo=UTC)), WORDS
    )


@pytest.fixture(scope="module")
def finding(finder: Finder) -> Finding:
    spans = finder.find(TEXT, ColumnFormat.TEXT).spans
    unsigned = Finding(
        1, 1, 0, "historical", True, None, ("1",), None, None, value_hash(TEXT), b"", encode_spans(spans, WORDS)
    )
    return replace(unsigned, finding_hash=finding_hash("public.note", "body", unsigned))


def row(text: str | None, scope: Scope = Scope.HISTORICAL) -> LockedRow:
    return LockedRow(scope, (text,))


def test_the_planned_text_is_changed_as_planned(judge: ApplyJudge, finding: Finding) -> None:
    verdict = judge.judge(finding, row(TEXT))
    assert verdict.outcome is Outcome.CHANGED
    assert verdict.change is not None
    assert verdict.change.after == CLEAN
    assert verdict.spans == {"changed": 1}
    assert not verdict.edited


def test_an_edited_text_is_decided_anew(judge: ApplyJudge, finding: Finding) -> None:
    verdict = judge.judge(finding, row(TEXT.replace("同款", "补充：")))
    assert verdict.outcome is Outcome.CHANGED_AFTER_EDIT
    assert verdict.change is not None
    assert verdict.change.after == CLEAN.replace("同款", "补充：")
    assert verdict.edited


@pytest.mark.parametrize(
    ("present", "outcome"),
    [
        (row(CLEAN), Outcome.ALREADY_CLEAN),
        (row(None), Outcome.ALREADY_CLEAN),
        (row(TEXT, Scope.EXEMPT), Outcome.EXEMPT_NOW),
        (row(TEXT, Scope.AFTER_CUTOVER), Outcome.OUT_OF_SCOPE_NOW),
        (row(TEXT, Scope.UNDATED), Outcome.OUT_OF_SCOPE_NOW),
        (row(TEXT, Scope.OUTSIDE), Outcome.OUT_OF_SCOPE_NOW),
        (row("字" * 55 + "m.tb.cn/h.4abcdeF"), Outcome.REFUSED_BY_DATABASE),
    ],
)
def test_a_row_that_moved_on_is_left_with_the_reason(
    judge: ApplyJudge, finding: Finding, present: LockedRow, outcome: Outcome
) -> None:
    verdict = judge.judge(finding, present)
    assert verdict.outcome is outcome
    assert verdict.change is None
    assert verdict.spans == {outcome.value: 1}


@pytest.mark.parametrize(
    "forged", [{"spans": "[]"}, {"value_hash": value_hash(CLEAN)}, {"key": ("2",)}, {"actionable": False}]
)
def test_a_finding_that_was_not_signed_stops_the_run(
    judge: ApplyJudge, finding: Finding, forged: dict[str, object]
) -> None:
    with pytest.raises(DigestDiffers):
        judge.judge(replace(finding, **forged), row(TEXT))  # type: ignore[arg-type]


def test_such_a_finding_is_named_by_its_place_and_without_its_text(judge: ApplyJudge, finding: Finding) -> None:
    with pytest.raises(DigestDiffers) as refusal:
        judge.judge(replace(finding, key=("a\u202eb", "2")), row(TEXT))
    assert refusal.value.message == "the finding of public.note.body (a\\u202eb, 2) is not the one that was signed"
