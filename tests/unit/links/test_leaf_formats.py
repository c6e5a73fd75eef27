"""Leaves of a JSON document that the config reads as HTML, Markdown or JSON of their own."""

import json

import pytest

from cleanup.links.edits import invert, splice
from cleanup.links.finder import Finder
from cleanup.links.policy import Policy
from cleanup.links.prefilter import Prefilter
from cleanup.vocabulary import ColumnFormat

ITEM = "https://item.taobao.com/item.htm?id=525"
MARK = "[链接已移除]"
FORMATS = (("html", ColumnFormat.HTML), ("parts[*].md", ColumnFormat.MARKDOWN), ("inner", ColumnFormat.JSON))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"html": f'看<a href="{ITEM}">"店里"</a>'}, {"html": f'看"店里"{MARK}'}),
        ({"html": "item&#46;taobao.com/item.htm?id=1"}, {"html": MARK}),
        (
            {"parts": [{"md": f"[店\n里]({ITEM})"}, {"md": "没有"}]},
            {"parts": [{"md": f"店\n里{MARK}"}, {"md": "没有"}]},
        ),
        ({"inner": json.dumps({"u": ITEM, ITEM: 1})}, {"inner": json.dumps({"u": MARK, ITEM: 1}, ensure_ascii=False)}),
        ({"inner": f"{{ {ITEM}"}, {"inner": f"{{ {ITEM}"}),
    ],
)
@pytest.mark.parametrize("plainly", [True, False])
def test_a_leaf_is_read_in_its_format(
    finder: Finder, before: dict[str, object], after: dict[str, object], plainly: bool
) -> None:
    document = json.dumps(before, ensure_ascii=not plainly)
    found = finder.find(document, ColumnFormat.JSON, leaf_formats=FORMATS)
    result = splice(document, found.spans)
    assert json.loads(result.after) == after
    assert invert(result.after, result.edits) == document


def test_paths_and_formats_go_together(finder: Finder) -> None:
    document = json.dumps({"html": f'<a href="{ITEM}">店</a>', "other": ITEM})
    found = finder.find(document, ColumnFormat.JSON, json_paths=("html",), leaf_formats=FORMATS)
    assert json.loads(splice(document, found.spans).after) == {"html": f"店{MARK}", "other": ITEM}


@pytest.mark.parametrize(
    "inner", ["&#116;aobao&#46;com/item.htm?id=1", "https://item.t&#x61;obao.com/x", "m&period;tb&#46;cn/h.4abcdeF"]
)
@pytest.mark.parametrize("escaped", ["", "&", "#", ";"])
def test_the_prefilter_sees_references_through_the_documents_escapes(
    policy: Policy, finder: Finder, inner: str, escaped: str
) -> None:
    document = json.dumps({"html": inner})
    for mark in escaped:
        document = document.replace(mark, f"\\u{ord(mark):04x}")
    assert finder.find(document, ColumnFormat.JSON, leaf_formats=FORMATS).spans
    prefilter = Prefilter.compile(policy, frozenset({ColumnFormat.JSON, ColumnFormat.HTML}))
    assert prefilter.hits(document.encode())
