"""The links of a JSON document: every string leaf read as text, or in the format that the config names for it."""

from collections.abc import Callable, Iterator, Sequence

from cleanup.links.json_view import JsonInvalid, Leaf, in_quotes, leaf_view, leaves, parse_path, selects
from cleanup.links.markup_links import in_raw
from cleanup.links.spans import Recognition, Span
from cleanup.links.views import View
from cleanup.vocabulary import ColumnFormat

# The format of the leaves under a path; the first path that leads to a leaf decides.
LeafFormats = Sequence[tuple[str, ColumnFormat]]


def find_in_json(
    document: str,
    read: Callable[[str, ColumnFormat], Recognition],
    paths: tuple[str, ...],
    leaf_formats: LeafFormats,
) -> Recognition:
    """Every link of a document's string values; an invalid document has a problem and no spans.

    A leaf that is no valid JSON where the config says that it is stays as it is.
    """
    spans: list[Span] = []
    counted: list[str] = []
    formats = [(parse_path(path), column_format) for path, column_format in leaf_formats]
    deepest = max((len(path) for path, _ in formats), default=0)
    try:
        for leaf in wanted_leaves(document, paths, deepest):
            view = leaf_view(document, leaf.start, leaf.end)
            found = read(view.text, _format_of(leaf, formats))
            spans += [_in_document(span, view) for span in found.spans]
            counted += found.counted
    except JsonInvalid as invalid:
        return Recognition(problem=str(invalid))
    return Recognition(tuple(spans), tuple(counted))


def _format_of(leaf: Leaf, formats: Sequence[tuple[tuple[str, ...], ColumnFormat]]) -> ColumnFormat:
    chosen = (column_format for path, column_format in formats if selects((path,), leaf.path))
    return next(chosen, ColumnFormat.TEXT)


def _in_document(span: Span, view: View) -> Span:
    children = tuple(_in_document(child, view) for child in span.children)
    return in_raw(span, view, in_quotes)._replace(children=children)


def wanted_leaves(document: str, paths: tuple[str, ...], deepest: int) -> Iterator[Leaf]:
    """The string values under one of the paths, or all of them where there are none; known to so many steps."""
    patterns = tuple(parse_path(path) for path in paths)
    for leaf in leaves(document, max([deepest, *map(len, patterns)])):
        if selects(patterns, leaf.path):
            yield leaf


def leaf_texts(document: str) -> Iterator[View]:
    """Every string value as a reader sees it; an invalid document ends them."""
    try:
        for leaf in leaves(document):
            yield leaf_view(document, leaf.start, leaf.end)
    except JsonInvalid:
        return
