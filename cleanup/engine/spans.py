"""Spans and findings in their stored form, and the hashes that a plan's digest is made of."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from cleanup.compact_json import compact_json
from cleanup.db.change_log import NULL_HASH
from cleanup.db.findings import Finding
from cleanup.links.explain import visible
from cleanup.links.spans import Span
from cleanup.vocabulary import Decision

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_Stored: TypeAlias = "list[int | str | list[_Stored] | None]"


def encode_spans(spans: Sequence[Span]) -> str:
    """The compact JSON of a finding's spans; equal spans give an equal text."""
    return compact_json([_flatten(span) for span in spans])


def decode_spans(text: str) -> tuple[Span, ...]:
    """The spans of a finding."""
    return tuple(_raise_up(stored) for stored in json.loads(text))


def _flatten(span: Span) -> _Stored:
    stored: _Stored = [
        span.start,
        span.end,
        span.platform,
        span.kind,
        span.decision.value,
        span.reason,
        span.host,
        span.replacement,
    ]
    if span.children:
        stored.append([_flatten(child) for child in span.children])
    return stored


def _raise_up(stored: Sequence[object]) -> Span:
    start, end, platform, kind, decision, reason, host, replacement, *children = stored
    nested = children[0] if children else []
    assert isinstance(start, int)
    assert isinstance(end, int)
    assert isinstance(nested, list)
    return Span(
        start=start,
        end=end,
        platform=str(platform),
        kind=str(kind),
        decision=Decision(decision),
        reason=str(reason),
        host=str(host),
        replacement=None if replacement is None else str(replacement),
        children=tuple(_raise_up(child) for child in nested),
    )


def value_hash(text: str | None) -> bytes:
    """SHA-256 over a value's text in UTF-8, the same that the server computes; NULL has a hash of its own."""
    return NULL_HASH if text is None else hashlib.sha256(text.encode()).digest()


def finding_hash(table_name: str, column_name: str, finding: Finding) -> bytes:
    """SHA-256 over everything that the plan says of one value, but for where it stands in the ledger.

    `findings.changed` computes the same in the server. No two findings look alike: names and authors come with their
    lengths, the key as JSON, and the spans, which end nowhere, at the end.
    """
    at, author = finding.created_at, finding.author
    content = (
        f"{len(table_name)}:{table_name} {len(column_name)}:{column_name} {finding.scope} "
        f"{'t' if finding.actionable else 'f'} {finding.refusal or '-'} "
        f"{'-' if at is None else (at - _EPOCH) // _MICROSECOND} "
        f"{'-' if author is None else f'{len(author)}:{author}'} {finding.value_hash.hex()} "
        f"[{','.join(map(compact_json, finding.key))}] {finding.spans}"
    )
    return hashlib.sha256(content.encode()).digest()


def place_of(leaf_name: str, column_name: str, key: Sequence[str]) -> str:
    """Where a value stands, for messages: leaf, column and key as reports write them, and nothing of its text."""
    shown = key[0] if len(key) == 1 else f"({', '.join(key)})"
    return f"{leaf_name}.{column_name} {visible(shown)}"


def value_id(table_name: str, column_name: str, key: Sequence[str]) -> int:
    """The number under which every log row of one value is found, whatever plan and run it comes from."""
    content = compact_json([table_name, column_name, list(key)])
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big", signed=True)
