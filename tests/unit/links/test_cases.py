"""Every labelled case: exact spans, decisions and texts after; the prefilter sees each; a second pass is clean."""

import json
from collections.abc import Mapping

import pytest

from cleanup.links.edits import splice
from cleanup.links.explain import explain_lines
from cleanup.links.finder import Finder
from cleanup.links.prefilter import Prefilter
from cleanup.links.scorecard import score, table
from cleanup.vocabulary import ColumnFormat
from tests.unit.links.conftest import CASES, LABELLED, ROOT, Case


@pytest.mark.parametrize("case", LABELLED, ids=[case.identifier for case in LABELLED])
def test_a_labelled_case_is_exact(finder: Finder, prefilters: Mapping[ColumnFormat, Prefilter], case: Case) -> None:
    found = finder.find(case.text, case.column_format)
    marks = tuple((span.start, span.end, span.platform, span.kind, span.decision.value) for span in found.spans)
    assert marks == case.spans
    assert splice(case.text, found.spans).after == case.after
    assert all(span.reason for span in found.spans)
    if found.spans or found.counted:
        assert prefilters[case.column_format].hits(case.text.encode("utf-8"))
    again = finder.find(case.after, case.column_format)
    assert not any(span.decision.changes_text for span in again.spans)


def test_explaining_the_case_file_gives_its_labels(finder: Finder) -> None:
    lines = CASES.read_text(encoding="utf-8").split("\n")
    for line, told in zip([line for line in lines if line], explain_lines(finder, lines), strict=True):
        wanted, answer = json.loads(line), json.loads(told)
        assert answer["id"] == wanted["id"]
        assert answer["after"] == wanted["after"]
        assert [{key: span[key] for key in span if key != "reason"} for span in answer["spans"]] == wanted["spans"]


def test_every_reason_is_one_of_a_bounded_set(finder: Finder) -> None:
    reasons = {span.reason for case in LABELLED for span in finder.find(case.text, case.column_format).spans}
    assert len(reasons) < 120
    assert {"short link beside 直播间", "Xianyu is affiliated, policy keeps it"} <= reasons


def test_the_table_in_the_page_is_current(finder: Finder) -> None:
    page = (ROOT / "runbooks" / "link-recognition.md").read_text(encoding="utf-8")
    current = table(score(finder, CASES.read_text(encoding="utf-8").split("\n")))
    assert current in page, "run python -m cleanup.links.scorecard and paste its table into the page"
