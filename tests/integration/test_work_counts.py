"""What the job costs, counted in work and not in seconds: what rises here is slower everywhere.

Counts per batch are slopes between two runs of the same plan's size, so that what a run costs once is left out.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest

from tests.faults.jobs import Pace, Site
from tests.faults.proxy import Proxy, let_through
from tests.integration.conftest import MakeSite

ROWS: Final = 240
# One lane, one chunk a leaf, and locks that nobody waits for: the number of batches is what `batch_rows_max` says.
ONE_LANE: Final = {"lanes": 1, "chunk_rows": 10_000, "lock_target_ms": 10_000}
MANY, FEW = Pace(batch_rows_max=4, **ONE_LANE), Pace(batch_rows_max=60, **ONE_LANE)


MakeNotes = Callable[[Pace], Site]


@pytest.fixture
def make_notes(database_dsn: str, make_site: MakeSite) -> MakeNotes:
    """Make a site whose posts are all in one table."""

    def make(pace: Pace) -> Site:
        site = make_site(database_dsn, rows=ROWS, pace=pace)
        site.do("TRUNCATE comment, note_archive")
        return site

    return make


@dataclass(frozen=True, slots=True)
class Cost:
    """What the lanes of one run cost."""

    batches: int
    round_trips: int
    statements: Counter[str]


def tapped(site: Site, verb: str, number: int) -> Cost:
    """Run a verb through a proxy that only counts, and see what its lane did."""
    with Proxy(site.dsn, let_through) as proxy:
        ended = site.start(verb, str(number), through=proxy.dsn).end()
    assert ended.status == 0, ended.err
    run = site.last_run()
    lane = f"cleanup {verb} run {run} lane 1"
    batches = site.number("SELECT count(*) FROM cleanup.batch WHERE run_id = %s", run)
    return Cost(batches, proxy.round_trips[lane], proxy.statements[lane])


# The statements of every batch. One UPDATE for each set of columns that its rows change: here title, body, or both.
OF_A_BATCH: Final = {
    "batch_session.begin", "session.set_local", "batches.open", "targets.lock_and_read", "session.server_clock",
    "catalog.fingerprint", "targets.write", "batch_session.immediate", "batches.settle", "batch_session.commit",
}  # fmt: skip
MORE_OF_A_BATCH: Final = {"apply": {"change_log.add"}, "rollback": {"change_log.later", "change_log.add_from_log"}}
# A rollback also looks for newer log rows of its values, before it takes any lock.
ROUND_TRIPS: Final = {"apply": 2, "rollback": 3}


@pytest.mark.parametrize("verb", ["apply", "rollback"])
def test_a_batch_costs_so_many_round_trips_and_statements(make_notes: MakeNotes, verb: str) -> None:
    site = make_notes(MANY)
    costs: list[Cost] = []
    for pace in (MANY, FEW):
        site.set_pace(pace)
        costs.append(tapped(site, "apply", site.approved_plan()))
        back = tapped(site, "rollback", site.last_run())
        if verb == "rollback":
            costs[-1] = back
    many, few = costs
    batches = many.batches - few.batches
    assert batches >= 40, costs
    more = {name: number - few.statements[name] for name, number in many.statements.items()}
    rising = {name: number / batches for name, number in more.items() if number}
    assert rising.keys() == OF_A_BATCH | MORE_OF_A_BATCH[verb]
    assert 1 <= rising.pop("targets.write") <= 3
    assert set(rising.values()) == {1}
    assert (many.round_trips - few.round_trips) / batches == ROUND_TRIPS[verb]


READ: Final = """
SELECT coalesce(sum(seq_tup_read) FILTER (WHERE schemaname = 'public'), 0)::int,
       coalesce(sum(seq_tup_read) FILTER (WHERE schemaname = 'cleanup'), 0)::int,
       coalesce(sum(idx_tup_fetch), 0)::int
  FROM pg_stat_all_tables
 WHERE (schemaname, relname) = ('public', 'note')
    OR schemaname = 'cleanup' AND relname ~ '^(finding|change_log)_[0-9]+$'
"""


@dataclass(frozen=True, slots=True)
class Read:
    """Rows that were read so far: in whole scans of the posts, in those of findings and log, by an index."""

    posts: int
    ledger: int
    by_index: int


def rows_read(site: Site) -> Read:
    ((posts, ledger, by_index),) = site.rows(READ)
    assert isinstance(posts, int)
    assert isinstance(ledger, int)
    assert isinstance(by_index, int)
    return Read(posts, ledger, by_index)


def test_posts_are_read_by_index_ranges_alone(make_notes: MakeNotes) -> None:
    site = make_notes(Pace(lanes=1, chunk_rows=1_000, batch_rows_max=500))
    site.do(
        "TRUNCATE note",
        "INSERT INTO note SELECT n, 1, '2021-01-01', false, 't', 'https://item.taobao.com/item.htm?id=' || n"
        " FROM generate_series(1, 20000) AS n",
        "VACUUM ANALYZE note",
    )
    posts = site.number("SELECT count(*) FROM note")
    before = rows_read(site)
    site.run("plan")
    planned = rows_read(site)
    findings = site.number("SELECT sum(findings)::int FROM cleanup.chunk")
    site.approve(1)
    site.run("apply", "1")
    applied = rows_read(site)
    site.run("rollback", "1")
    rolled_back = rows_read(site)
    # The check that comes before the first run takes a sample, and of a small table that is all of it; nothing else
    # reads a table from end to end.
    assert planned.posts == before.posts
    assert applied.posts - planned.posts <= posts
    assert rolled_back.posts == applied.posts
    # Each post once, and what finds the chunks' ends; each finding once, for the digest.
    assert planned.by_index - before.by_index <= 1.2 * posts
    assert planned.ledger - before.ledger <= findings
    for earlier, later in ((planned, applied), (applied, rolled_back)):
        # The signature is over all findings, and read once, however many pages of them a run has. Measured 5.05 and 5
        # look-ups a finding.
        assert later.ledger - earlier.ledger <= findings
        assert later.by_index - earlier.by_index <= 6 * findings


def test_only_rows_that_hit_are_decoded(make_notes: MakeNotes) -> None:
    """Five in a hundred have a link of ours, and as many one of others, which no prefilter may look at any closer."""
    site = make_notes(Pace(lanes=1))
    ours, of_others = "'https://item.taobao.com/item.htm?id='", "'https://example.com/'"
    link = f"CASE n % 20 WHEN 0 THEN {ours} WHEN 10 THEN {of_others} ELSE '' END"
    site.do(
        "TRUNCATE note",
        f"INSERT INTO note SELECT n, 1, '2021-01-01', false, 't', '第' || n || '篇 ' || {link} || n"
        " FROM generate_series(1, 2000) AS n",
    )
    site.run("plan")
    counts = "SELECT sum((counts ->> 'rows')::int)::int, sum((counts ->> 'decoded')::int)::int, sum(findings)::int"
    assert site.rows(f"{counts} FROM cleanup.chunk") == [(2000, 100, 100)]


def test_a_changed_post_costs_so_many_bytes_of_log_and_wal(make_notes: MakeNotes) -> None:
    """Beside what the UPDATE itself writes: two hashes, a short chain value, key, author, time, and the link."""
    site = make_notes(Pace(lanes=1, batch_rows_max=1_000))
    link = "https://item.taobao.com/item.htm?id=123456789012"
    site.do(
        "TRUNCATE note",
        f"INSERT INTO note SELECT n, 1, '2021-01-01', false, 't', repeat('字', 300) || ' {link} ' || n"
        " FROM generate_series(1, 2000) AS n",
        "VACUUM ANALYZE note",
        "CHECKPOINT",
    )
    plan = site.approved_plan()
    assert site.number("SELECT count(*) FROM cleanup.finding") == 2000
    before = site.value("SELECT pg_current_wal_lsn()")
    site.run("apply", str(plan))
    wal = site.number("SELECT (pg_current_wal_lsn() - %s::pg_lsn)::bigint", before) / 2000
    logged = site.number("SELECT avg(pg_column_size(l.*))::int FROM cleanup.change_log AS l")
    finding = site.number("SELECT avg(pg_column_size(f.*))::int FROM cleanup.finding AS f")
    on_disk = "SELECT pg_total_relation_size(%s::regclass)::int / 2000"
    # Measured 233, 148 and 3,020, of which the UPDATE alone is 1,300 and full-page images are a part; with their
    # indexes, which are half empty in a table as small as this one, 339 and 208.
    assert logged <= 240
    assert finding <= 155
    assert wal <= 3_600
    assert site.number(on_disk, "cleanup.change_log_1") <= 355
    assert site.number(on_disk, "cleanup.finding_1") <= 225
