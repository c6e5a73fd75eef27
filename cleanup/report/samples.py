"""Links in their context: texts are read from the posts for the report alone, bounded, and only if still as planned."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from cleanup.db.connection import Connection
from cleanup.db.findings import Finding
from cleanup.db.keys import Key
from cleanup.db.posts import present_rows
from cleanup.db.report_plan import Sampled
from cleanup.db.targets import Target
from cleanup.engine.spans import decode_spans, value_hash
from cleanup.links.spans import Span
from cleanup.links.words import Words

CONTEXT_CHARACTERS: Final = 60
LINK_CHARACTERS: Final = 400
# Posts may be large: so few at once, with all their configured columns, are in memory.
_ROWS_AT_ONCE: Final = 20


class TextState(Enum):
    """Whether the text that a report shows is the one that was planned."""

    AS_PLANNED = "as_planned"
    CHANGED_SINCE = "changed_since"
    GONE = "gone"
    NOT_READ = "not_read"

    @classmethod
    def of(cls, finding: Finding, text: str | None, *, was_read: bool, is_there: bool) -> "TextState":
        """What has become of a planned text."""
        if not was_read:
            return cls.NOT_READ
        if not is_there:
            return cls.GONE
        return cls.AS_PLANNED if value_hash(text) == finding.value_hash else cls.CHANGED_SINCE


@dataclass(frozen=True, slots=True)
class Sample:
    """One link, and what would become of it, inside its bounded context.

    `link` and `put_there` are None where the text is not as planned; `put_there` also where the link stays.
    `characters` is the link's length, `links` how many links its class has.
    """

    table: str
    leaf: str
    column: str
    format: str
    scope: str
    platform: str
    kind: str
    decision: str
    reason: str
    host: str
    key: Key
    author: str | None
    created_at: datetime | None
    links: int
    state: TextState
    start: int
    characters: int
    context_before: str = ""
    link: str | None = None
    put_there: str | None = None
    context_after: str = ""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A link as it stands in a text, with a little of what stands around it."""

    before: str
    link: str
    after: str


def excerpt(text: str, span: Span) -> Excerpt:
    """The link with at most so many characters of it, and on either side, as a report shows."""
    first = max(span.start - CONTEXT_CHARACTERS, 0)
    last = span.end + CONTEXT_CHARACTERS
    return Excerpt(
        ("…" if first else "") + text[first : span.start],
        bounded(text[span.start : span.end]),
        text[span.end : last] + ("…" if last < len(text) else ""),
    )


def bounded(text: str) -> str:
    """A text, or the two ends of one that is too long to be read."""
    if len(text) <= LINK_CHARACTERS:
        return text
    half = LINK_CHARACTERS // 2
    return f"{text[:half]}… {len(text) - 2 * half} characters …{text[-half:]}"


def read_samples(
    connection: Connection, targets: dict[int, Target], names: dict[tuple[int, int], tuple[str, str, str, str]],
    sampled: Sequence[Sampled], words: Words,
) -> tuple[Sample, ...]:  # fmt: skip
    """The samples with their texts; `names` are table, leaf, column and format by leaf and column number."""
    by_leaf: defaultdict[int, list[Sampled]] = defaultdict(list)
    for one in sampled:
        by_leaf[one.finding.leaf_number].append(one)
    return tuple(
        sample
        for leaf_number, group in sorted(by_leaf.items())
        for page in _pages(group)
        for sample in _read_page(connection, targets.get(leaf_number), names, page, words)
    )


def _pages(group: list[Sampled]) -> Iterator[list[Sampled]]:
    for first in range(0, len(group), _ROWS_AT_ONCE):
        yield group[first : first + _ROWS_AT_ONCE]


def _read_page(
    connection: Connection,
    target: Target | None,
    names: dict[tuple[int, int], tuple[str, str, str, str]],
    page: list[Sampled],
    words: Words,
) -> Iterator[Sample]:
    present = {}
    if target is not None:
        present = present_rows(connection, target, list(dict.fromkeys(one.finding.key for one in page)))
    for one in page:
        finding = one.finding
        row = present.get(finding.key)
        text = row.texts[finding.column_number] if row is not None else None
        state = TextState.of(finding, text, was_read=target is not None, is_there=row is not None)
        span = decode_spans(finding.spans, words)[one.span_number]
        yield _sample(one, span, names[finding.leaf_number, finding.column_number], state, text or "")


def _sample(one: Sampled, span: Span, names: tuple[str, str, str, str], state: TextState, text: str) -> Sample:
    table, leaf, column, column_format = names
    finding = one.finding
    shown = excerpt(text, span) if state is TextState.AS_PLANNED else None
    # What the plan puts there is known in any case; it is shown only beside the text that it was planned for.
    changes = finding.actionable and span.decision.changes_text and span.replacement is not None
    return Sample(
        table=table,
        leaf=leaf,
        column=column,
        format=column_format,
        scope=finding.scope,
        platform=span.platform,
        kind=span.kind,
        decision=span.decision.value,
        reason=span.reason,
        host=span.host,
        key=finding.key,
        author=finding.author,
        created_at=finding.created_at,
        links=one.links,
        state=state,
        start=span.start,
        characters=span.end - span.start,
        context_before=shown.before if shown else "",
        link=shown.link if shown else None,
        put_there=bounded(span.replacement or "") if shown and changes else None,
        context_after=shown.after if shown else "",
    )
