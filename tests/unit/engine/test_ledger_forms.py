"""What the engine stores and hashes: spans, digests, chains; and the batch size it aims at."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanup.db.batches import BatchRow
from cleanup.db.change_log import LogRow
from cleanup.db.keys import Key, read_key, spell_key
from cleanup.engine.chain import CHAIN_START, BatchContent, link, rows_hash, run_head, seal
from cleanup.engine.log_chains import digest_of
from cleanup.engine.pace import BatchSize
from cleanup.engine.scan_counts import ScanCounts
from cleanup.engine.spans import decode_spans, encode_spans
from cleanup.links.spans import Span
from cleanup.links.words import Words
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
    # Or Hypothesis would make children of children of its own accord.
    children=st.just(()),
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
    texts = {span.reason for span in found} | {span.replacement for span in found if span.replacement is not None}
    for words in (Words(), Words(sorted(texts)[::2]), Words(["keep", "7", "null", *sorted(texts)])):
        assert decode_spans(encode_spans(found, words), words) == tuple(found)


keys = st.lists(texts, min_size=1, max_size=3).map(tuple)


@given(keys, keys)
def test_a_key_has_one_text_that_other_keys_do_not_share(key: Key, other: Key) -> None:
    assert read_key(spell_key(key)) == key
    assert (spell_key(key) == spell_key(other)) == (key == other)


@given(st.text(alphabet='[]",-\\u0 a1é').map(lambda text: f'["{text}"]'))
def test_a_stored_key_reads_as_any_reader_of_json_reads_it(stored: str) -> None:
    try:
        parts = json.loads(stored)
    except ValueError:
        parts = None
    is_key = isinstance(parts, list) and all(isinstance(part, str) for part in parts)
    assert read_key(stored) == (tuple(parts) if is_key else ("unreadable", "key", stored))


@pytest.mark.parametrize("stored", ["20", '"20"', "[20]", "[null]", "{}", "", "{20}", "[" * 100_000])
def test_what_is_no_key_reads_as_one_that_no_row_has(stored: str) -> None:
    assert read_key(stored) == ("unreadable", "key", stored)


def test_counts_come_back_as_they_were_stored() -> None:
    counts = ScanCounts(rows=3, bytes=90, decoded=2, null_predicates=1)
    counts.scopes["historical"] = 3
    counts.spans["historical", "body", "taobao", "product", "redact", "Taobao product page"] = 2
    counts.hosts["item.taobao.com"] = 2
    counts.counted["jd.com"] = 1
    counts.refusals["too_long"] = 1
    assert ScanCounts.from_json(counts.as_json()) == counts


AT: Final = datetime(2026, 1, 2, tzinfo=UTC)
LATER: Final = AT + timedelta(microseconds=1)
ROW: Final = LogRow(1, 12, 0, 2, 3, "changed", ("a", "b"), AT, "ana", b"a", b"b", b"s", "[]", b"", AT)
CONTENT: Final = BatchContent(
    1,
    0,
    10,
    20,
    1,
    1,
    0,
    3,
    {"changed": 1},
    {"changed": 2},
    0,
    1,
    [(12, "row_gone", None)],
    [(14, 0, "not_found")],
    [13],
)
BATCH: Final = BatchRow(1, 0, 10, 20, 1, 1, 0, 3, {}, {}, 0, 1, b"head", AT, b"ms", None)


def chained(*numbers: int) -> bytes:
    value = CHAIN_START
    for number in numbers:
        value = link(value, digest_of(replace(ROW, finding_number=number)))
    return value


def hashed(*numbers: int) -> bytes:
    return rows_hash(digest_of(replace(ROW, finding_number=number)) for number in numbers)


@pytest.mark.parametrize("made", [chained, hashed])
def test_a_chain_tells_order_and_length(made: Callable[..., bytes]) -> None:
    assert len({made(1, 2), made(2, 1), made(1), made(1, 2, 3), made()}) == 5


def test_a_log_rows_digest_tells_every_column_from_every_other() -> None:
    rows = [
        ROW,
        replace(ROW, run_id=9),
        replace(ROW, finding_number=9),
        replace(ROW, run_pass=9),
        replace(ROW, leaf_number=9),
        replace(ROW, column_number=9),
        replace(ROW, outcome="restored"),
        replace(ROW, outcome="change", author="dana"),
        replace(ROW, key=("a b",)),
        replace(ROW, key=("a 1:b",)),
        replace(ROW, key=("a,b",)),
        replace(ROW, key=("ab", "")),
        replace(ROW, key=("", "ab")),
        replace(ROW, key=()),
        replace(ROW, created_at=None),
        replace(ROW, created_at=LATER),
        replace(ROW, author=None),
        replace(ROW, author=""),
        replace(ROW, author="None"),
        replace(ROW, author="!None"),
        replace(ROW, hash_before=b"c"),
        replace(ROW, hash_before=b"ab", hash_after=b""),
        replace(ROW, hash_before=b"", hash_after=b"ab"),
        replace(ROW, hash_after=b"c"),
        replace(ROW, salt=b"t"),
        replace(ROW, salt=b"s[", edits="]"),
        replace(ROW, edits="[[]]"),
        replace(ROW, logged_at=LATER),
    ]
    assert len({digest_of(row) for row in rows}) == len(rows)


def test_the_chain_value_is_no_part_of_its_own_digest() -> None:
    assert digest_of(replace(ROW, chain=b"other")) == digest_of(ROW)


def test_a_time_is_the_same_in_every_zone() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=8)))
    assert digest_of(replace(ROW, created_at=elsewhere, logged_at=elsewhere)) == digest_of(ROW)


def test_a_seal_tells_what_a_batch_says_of_itself() -> None:
    seals = [
        seal(b"chain", CONTENT),
        seal(b"other", CONTENT),
        seal(b"chain", replace(CONTENT, run_id=9)),
        seal(b"chain", replace(CONTENT, run_pass=9)),
        seal(b"chain", replace(CONTENT, after_number=9)),
        seal(b"chain", replace(CONTENT, through_number=9)),
        seal(b"chain", replace(CONTENT, chunk_number=9)),
        seal(b"chain", replace(CONTENT, attempt=9)),
        seal(b"chain", replace(CONTENT, lane=9)),
        seal(b"chain", replace(CONTENT, findings=9)),
        seal(b"chain", replace(CONTENT, outcomes={"changed": 9})),
        seal(b"chain", replace(CONTENT, span_outcomes={"changed": 9})),
        seal(b"chain", replace(CONTENT, edited=9)),
        seal(b"chain", replace(CONTENT, log_rows=9)),
        seal(b"chain", replace(CONTENT, unchanged=[(12, "row_gone", "")])),
        seal(b"chain", replace(CONTENT, unchanged=[(13, "row_gone", None)])),
        seal(b"chain", replace(CONTENT, unchanged=[(12, "conflict", None)])),
        seal(b"chain", replace(CONTENT, conflicts=[])),
        seal(b"chain", replace(CONTENT, conflicts=[(14, 1, "not_found")])),
        seal(b"chain", replace(CONTENT, deferred=[])),
    ]
    assert len(set(seals)) == len(seals)


def test_a_seal_does_not_hang_on_the_order_in_which_the_ledger_is_read() -> None:
    left = [(12, "row_gone", None), (13, "locked_out", None)]
    one = replace(CONTENT, outcomes={"changed": 1, "row_gone": 2}, unchanged=left, deferred=[14, 15])
    other = replace(CONTENT, outcomes={"row_gone": 2, "changed": 1}, unchanged=left[::-1], deferred=[15, 14])
    assert seal(b"chain", one) == seal(b"chain", other)


def test_a_runs_head_tells_the_order_and_content_of_its_batches() -> None:
    second = replace(BATCH, after_number=20, head=b"b")
    runs = [
        [BATCH, second],
        [second, BATCH],
        [BATCH],
        [],
        [replace(BATCH, head=None)],
        [replace(BATCH, written_at=LATER)],
        [replace(BATCH, lock_ms=b"s")],
        [replace(BATCH, retries='{"conflict": 1}')],
    ]
    assert len({run_head(batches) for batches in runs}) == len(runs)


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
