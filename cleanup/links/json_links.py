"""The links of a JSON document: every string leaf read as text."""

from collections.abc import Iterator

from cleanup.links.decide import Judge
from cleanup.links.json_view import JsonInvalid, Leaf, in_quotes, leaf_view, leaves, parse_path, selects
from cleanup.links.markup_links import in_raw
from cleanup.links.spans import Recognition, Span
from cleanup.links.text_links import TextReader
from cleanup.links.views import View


def find_in_json(document: str, reader: TextReader, judge: Judge, paths: tuple[str, ...]) -> Recognition:
    """Every link of a document's string values; an invalid document has a problem and no spans."""
    spans: list[Span] = []
    counted: list[str] = []
    try:
        for leaf in wanted_leaves(document, paths):
            view = leaf_view(document, leaf.start, leaf.end)
            found = reader.read(view.text, judge)
            spans += [in_raw(span, view, in_quotes) for span in found.spans]
            counted += found.counted
    except JsonInvalid as invalid:
        return Recognition(problem=str(invalid))
    return Recognition(tuple(spans), tuple(counted))


def wanted_leaves(document: str, paths: tuple[str, ...]) -> Iterator[Leaf]:
    """The string values under one of the paths, or all of them where there are none."""
    patterns = tuple(parse_path(path) for path in paths)
    for leaf in leaves(document, max(map(len, patterns), default=0)):
        if selects(patterns, leaf.path):
            yield leaf


def leaf_texts(document: str) -> Iterator[View]:
    """Every string value as a reader sees it; an invalid document ends them."""
    try:
        for leaf in leaves(document):
            yield leaf_view(document, leaf.start, leaf.end)
    except JsonInvalid:
        return
