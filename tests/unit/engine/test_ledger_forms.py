"""What the engine stores and hashes: spans, digests, chains; and the batch size it aims at."""

from hypothesis import given
from hypothesis import strategies as st

from cleanup.db.batches import BatchHead
from cleanup.engine.chain import CHAIN_START, link, run_head
from cleanup.engine.pace import BatchSize
from cleanup.engine.scan_counts import ScanCounts
from cleanup.engine.spans import decode_spans, encode_spans, value_id
from cleanup.links.spans import Span
from cleanup.report.as_text import shown, table_lines
from cleanup.vocabulary import Decision

texts = st.text(st.characters(exclude_categories=["Cs"]))
plain_spans = st.builds(
    Span,
    start=st.integers(0, 10**7),
    end=st.integers(0, 10**7),
    platform=texts,
    kind=texts,
    decision=st.sampled_from(Decision),
    reason=texts,
    host=texts,
    replacement=st.none() | texts,
)
spans = st.builds(
    lambda span, children: Span(
        span.start,
        span.end,
        span.platform,
        span.kind,
        span.decision,
        span.reason,
        span.host,
        span.replacement,
        tuple(children),
    ),
    plain_spans,
    st.lists(plain_spans, max_size=3),
)


@given(st.lists(spans, max_size=5))
def test_spans_come_back_as_they_were_stored(found: list[Span]) -> None:
    assert decode_spans(encode_spans(found)) == tuple(found)


@given(texts, texts, st.lists(texts, min_size=1, max_size=3), st.lists(texts, min_size=1, max_size=3))
def test_a_value_has_one_number_that_other_values_do_not_share(
    table: str, column: str, key: list[str], other: list[str]
) -> None:
    assert (value_id(table, column, key) == value_id(table, column, other)) == (key == other)


def test_counts_come_back_as_they_were_stored() -> None:
    counts = ScanCounts(rows=3, bytes=90, decoded=2, null_predicates=1)
    counts.scopes["historical"] = 3
    counts.spans["historical", "body", "taobao", "product", "redact", "Taobao product page"] = 2
    counts.hosts["item.taobao.com"] = 2
    counts.counted["jd.com"] = 1
    counts.refusals["too_long"] = 1
    assert ScanCounts.from_json(counts.as_json()) == counts


def chained(*numbers: int, edits: str = "[]") -> bytes:
    value = CHAIN_START
    for number in numbers:
        value = link(value, salt=b"s", place=(1, 0, number, "changed", 5), hashes=(b"a", b"b"), edits=edits)
    return value


def test_a_chain_tells_order_content_and_length() -> None:
    assert len({chained(1, 2), chained(2, 1), chained(1), chained(1, 2, 3), chained(1, 2, edits="[[]]")}) == 5


def test_a_runs_head_tells_the_order_and_content_of_its_batches() -> None:
    first = BatchHead(0, 0, 10, 3, b"a")
    second = BatchHead(0, 10, 20, 3, b"b")
    heads = {run_head([first, second]), run_head([second, first]), run_head([first]), run_head([])}
    assert len(heads) == 4


def test_batches_grow_towards_the_lock_target_and_never_beyond_the_largest() -> None:
    size = BatchSize(lock_target_ms=250, largest=1000)
    seen = []
    for _ in range(20):
        seen.append(size.findings)
        # Half a millisecond a finding: 250 of them make the 125 ms that are aimed at.
        size.measured(size.findings, size.findings * 0.5)
    assert seen[1] <= 2 * seen[0]
    assert seen[-1] == 250
    # One quick batch moves the estimate a little, many of them move it all the way.
    size.measured(250, 1.0)
    assert size.findings == 312
    for _ in range(20):
        size.measured(size.findings, 1.0)
    assert size.findings == 1000


def test_a_slow_or_failed_batch_makes_the_next_one_smaller_but_never_empty() -> None:
    size = BatchSize(lock_target_ms=250, largest=1000)
    size.measured(200, 2_000.0)
    assert size.findings == 12
    for _ in range(20):
        size.failed()
    assert size.findings == 1


def test_what_the_database_holds_is_shown_and_not_obeyed() -> None:
    assert shown("a\x1b[31m\u202e") == "a\\u001b[31m\\u202e"
    assert shown(1234567) == "1,234,567"
    assert list(table_lines(("name", "links"), [("a", 5), ("bb", 1000)])) == [
        "  name  links",
        "  a         5",
        "  bb    1,000",
    ]
