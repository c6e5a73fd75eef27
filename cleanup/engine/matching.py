"""Values of configured columns under the policy: what they hold, what would become of them, why not."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy

from cleanup.config import UrlResult
from cleanup.db.tables import TextColumn
from cleanup.engine.spans import value_hash
from cleanup.engine.verdicts import Change
from cleanup.links.edits import splice
from cleanup.links.finder import Finder
from cleanup.links.link_rows import rule_of, whole_value
from cleanup.links.policy import Policy
from cleanup.links.spans import Recognition, Span

# Targets of short URLs, by the spellings that were asked for.
Resolve = Callable[[Sequence[str]], Mapping[str, str]]


class Matcher:
    """A finder that knows the columns, and the job's resolution map where it has one."""

    def __init__(self, policy: Policy, resolve: Resolve | None) -> None:
        self._policy = policy
        self._finder = Finder(policy)
        self._resolve = resolve

    def resolving(self, resolve: Resolve | None) -> "Matcher":
        """The same matcher with another way to its resolution map."""
        other = copy(self)
        other._resolve = resolve
        return other

    def find(self, values: Sequence[tuple[TextColumn, str]]) -> list[Recognition]:
        """What each value holds; all short URLs of them are looked up at once."""
        resolution = self._targets(values)
        return [self._find_one(column, text, resolution) for column, text in values]

    def _find_one(self, column: TextColumn, text: str, resolution: Mapping[str, str]) -> Recognition:
        replacement = None if column.on_redact is UrlResult.PLACEHOLDER else ""
        if column.link_rows is not None:
            rule = rule_of(self._policy, column.link_rows.platform, column.link_rows.kind)
            return whole_value(self._policy, rule, text, replacement) if rule else Recognition()
        return self._finder.find(
            text,
            column.format,
            resolution=resolution,
            json_paths=column.json_paths,
            leaf_formats=column.leaf_formats,
            url_replacement=replacement,
        )

    def _targets(self, values: Sequence[tuple[TextColumn, str]]) -> Mapping[str, str]:
        if self._resolve is None:
            return {}
        spellings = dict.fromkeys(
            url
            for column, text in values
            if column.link_rows is None
            for url in self._finder.lookups(text, column.format)
        )
        return self._resolve(list(spellings)) if spellings else {}


def change_of(column: TextColumn, text: str, hash_before: bytes, spans: Sequence[Span]) -> Change:
    """The value with its spans changed; NULL where a link column is configured so. `hash_before` is the text's."""
    result = splice(text, spans)
    emptied = column.on_redact is UrlResult.NULL and bool(result.edits) and not result.after
    after = None if emptied else result.after
    return Change(text, after, result.edits, hash_before, value_hash(after))


def refusal_of(column: TextColumn, recognition: Recognition, text: Callable[[], str]) -> str | None:
    """Why a value can not be changed although it holds spans, known in advance; its text is seldom asked for."""
    if recognition.problem is not None:
        return "unreadable"
    if column.max_length is None or not any(span.decision.changes_text for span in recognition.spans):
        return None
    return "too_long" if len(splice(text(), recognition.spans).after) > column.max_length else None
