"""What a scan counts on the way, in memory and in the ledger's form."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

# Scope, column, platform, kind, decision, reason.
SpanClass = tuple[str, str, str, str, str, str]


@dataclass(slots=True)
class ScanCounts:
    """What was counted on the way: rows by scope, spans by class, hosts, and what could not be read."""

    rows: int = 0
    bytes: int = 0
    decoded: int = 0
    null_predicates: int = 0
    scopes: Counter[str] = field(default_factory=Counter)
    spans: Counter[SpanClass] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, object]:
        """The form the ledger keeps; span classes are [scope, column, platform, kind, decision, reason, count]."""
        return {
            "rows": self.rows,
            "bytes": self.bytes,
            "decoded": self.decoded,
            "null_predicates": self.null_predicates,
            "scopes": dict(self.scopes),
            "spans": [[*span_class, count] for span_class, count in sorted(self.spans.items())],
            "hosts": dict(self.hosts),
            "counted": dict(self.counted),
            "refusals": dict(self.refusals),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> Self:
        """The counts of a chunk as the ledger keeps them."""
        spans: Counter[SpanClass] = Counter()
        listed = stored["spans"]
        assert isinstance(listed, list)
        for scope, column, platform, kind, decision, reason, number in listed:
            spans[scope, column, platform, kind, decision, reason] += number
        return cls(
            rows=_number(stored["rows"]),
            bytes=_number(stored["bytes"]),
            decoded=_number(stored["decoded"]),
            null_predicates=_number(stored["null_predicates"]),
            scopes=_counter(stored["scopes"]),
            spans=spans,
            hosts=_counter(stored["hosts"]),
            counted=_counter(stored["counted"]),
            refusals=_counter(stored["refusals"]),
        )


def _number(stored: object) -> int:
    assert isinstance(stored, int)
    return stored


def _counter(stored: object) -> Counter[str]:
    assert isinstance(stored, dict)
    return Counter({str(name): _number(number) for name, number in stored.items()})
