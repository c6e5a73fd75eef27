"""Reading a text twice: every test of a form sees as well that a second pass finds nothing to change."""

from cleanup.links.edits import splice
from cleanup.links.finder import Finder
from cleanup.links.spans import Span
from cleanup.vocabulary import ColumnFormat


def written(finder: Finder, text: str, column_format: ColumnFormat = ColumnFormat.TEXT) -> list[str]:
    """The links of a text as it spells them."""
    return [text[span.start : span.end] for span in _spans(finder, text, column_format)]


def cleaned(finder: Finder, text: str, column_format: ColumnFormat = ColumnFormat.TEXT) -> str:
    """The text after."""
    return splice(text, _spans(finder, text, column_format)).after


def _spans(finder: Finder, text: str, column_format: ColumnFormat) -> tuple[Span, ...]:
    spans = finder.find(text, column_format).spans
    again = finder.find(splice(text, spans).after, column_format).spans
    assert not any(span.decision.changes_text for span in again), text
    return spans
