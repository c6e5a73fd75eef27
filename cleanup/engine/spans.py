"""Spans and findings in their stored form, and the hashes that a plan's digest is made of."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cleanup.db.change_log import NULL_HASH
from cleanup.db.findings import Finding
from cleanup.db.keys import spell_key
from cleanup.links.explain import visible
from cleanup.links.spans import Span
from cleanup.links.words import Words
from cleanup.vocabulary import Decision

FINDING_HASH_BYTES: Final = 8

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DECISIONS: Final = {decision.value: decision for decision in Decision}


def encode_spans(spans: Sequence[Span], words: Words) -> str:
    """The compact JSON of a finding's spans; equal spans give an equal text."""
    return f"[{','.join([_encoded(span, words) for span in spans])}]"


def _encoded(span: Span, words: Words) -> str:
    texts = (span.platform, span.kind, span.decision.value, span.reason, span.host, span.replacement)
    children = f",{encode_spans(span.children, words)}" if span.children else ""
    return f"[{span.start},{span.end},{','.join(map(words.spell, texts))}{children}]"


def decode_spans(text: str, words: Words) -> tuple[Span, ...]:
    """The spans of a finding."""
    return tuple([_decoded(stored, words) for stored in json.loads(text)])


def _decoded(stored: Sequence[object], words: Words) -> Span:
    start, end, *said = stored
    platform, kind, decision, reason, host, replacement = map(words.read, said[:6])
    children = said[6:]
    nested = children[0] if children else []
    assert isinstance(start, int)
    assert isinstance(end, int)
    assert isinstance(nested, list)
    return Span(
        start,
        end,
        str(platform),
        str(kind),
        _DECISIONS[str(decision)],
        str(reason),
        str(host),
        replacement,
        tuple([_decoded(child, words) for child in nested]) if nested else (),
    )


def value_hash(text: str | None) -> bytes:
    """SHA-256 over a value's text in UTF-8, the same that the server computes; NULL has a hash of its own."""
    return NULL_HASH if text is None else bytes_hash(text.encode())


def bytes_hash(text: bytes) -> bytes:
    """The same of a text that is in UTF-8 already."""
    return hashlib.sha256(text).digest()


def finding_hash(table_name: str, column_name: str, finding: Finding) -> bytes:
    """The beginning of SHA-256 over everything that the plan says of one value, but for where it stands in the ledger.

    `findings.in_digest_order` computes the same in the server, and the plan's digest is over the whole of it. No two
    findings look alike: names and authors come with their lengths, the key as JSON, and the spans at the end.
    """
    at, author = finding.created_at, finding.author
    content = (
        f"{len(table_name)}:{table_name} {len(column_name)}:{column_name} {finding.scope} "
        f"{'t' if finding.actionable else 'f'} {finding.refusal or '-'} "
        f"{'-' if at is None else (at - _EPOCH) // _MICROSECOND} "
        f"{'-' if author is None else f'{len(author)}:{author}'} {finding.value_hash.hex()} "
        f"{spell_key(finding.key)} {finding.spans}"
    )
    return hashlib.sha256(content.encode()).digest()[:FINDING_HASH_BYTES]


def place_of(leaf_name: str, column_name: str, key: Sequence[str]) -> str:
    """Where a value stands, for messages: leaf, column and key as reports write them, and nothing of its text."""
    shown = key[0] if len(key) == 1 else f"({', '.join(key)})"
    return f"{leaf_name}.{column_name} {visible(shown)}"
