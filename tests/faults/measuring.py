"""What a fault came to, read from the database by means that the job has no part in.

A trigger of the site's own notes every value that a lane writes, in the lane's transaction: what is written twice,
or written without a log row, is seen there, whatever the ledger says. What the posts have to be in the end comes
from an undisturbed run in a twin of the database.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from tests.plugins.fault_table import Measured

if TYPE_CHECKING:
    from tests.faults.jobs import Connection, Posts, Row, Site

_WATCH: Final = """
CREATE TABLE public.write_seen (
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    leaf_name text NOT NULL, key text[] NOT NULL, column_name text NOT NULL, before bytea NOT NULL, after bytea NOT NULL
);
CREATE FUNCTION public.see_write() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    row_now record := NEW;
    now_there jsonb := to_jsonb(NEW);
    there_before jsonb := to_jsonb(OLD);
    of_row text[];
BEGIN
    EXECUTE format('SELECT ARRAY[%s]', (SELECT string_agg(format('($1).%I::text', a.name), ',' ORDER BY a.place)
                                          FROM unnest(tg_argv) WITH ORDINALITY AS a(name, place)))
       INTO of_row USING row_now;
    INSERT INTO public.write_seen (leaf_name, key, column_name, before, after)
    SELECT tg_table_schema || '.' || tg_table_name, of_row, n.key,
           coalesce(sha256(convert_to(o.value, 'UTF8')), decode(repeat('00', 32), 'hex')),
           coalesce(sha256(convert_to(n.value, 'UTF8')), decode(repeat('00', 32), 'hex'))
      FROM jsonb_each_text(now_there) AS n JOIN jsonb_each_text(there_before) AS o ON o.key = n.key
     WHERE o.value IS DISTINCT FROM n.value;
    RETURN NULL;
END $$;
CREATE TABLE public.batch_seen (
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    run_id bigint NOT NULL, pass int NOT NULL, after_number bigint NOT NULL
);
CREATE FUNCTION public.see_batch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.batch_seen (run_id, pass, after_number) VALUES (NEW.run_id, NEW.pass, NEW.after_number);
    RETURN NULL;
END $$;
CREATE TRIGGER seen AFTER INSERT ON cleanup.batch FOR EACH ROW EXECUTE FUNCTION public.see_batch();
"""
_SEE: Final = """CREATE TRIGGER seen AFTER UPDATE ON public.{} FOR EACH ROW
WHEN (current_setting('application_name') LIKE 'cleanup%') EXECUTE FUNCTION public.see_write({})"""
_KEYS: Final = {"note": "id", "note_archive": "id, created_at", "comment": "id"}


def watch_writes(connection: "Connection") -> None:
    """Let the site note what lanes write; after the ledger, and before the plan, whose fingerprint knows triggers."""
    connection.execute(_WATCH.encode())
    for table, key in _KEYS.items():
        connection.execute(_SEE.format(table, key).encode())


# -------------------------------------------------------------------- a run, against its posts and its plan

# What lanes wrote in the batches of a run: what the trigger saw in the transaction that inserted a batch.
_WRITTEN: Final = """
WITH written AS (
    SELECT w.* FROM public.write_seen AS w JOIN public.batch_seen AS b USING (xid) WHERE b.run_id = %(run)s
), logged AS (
    SELECT l.leaf_name, c.column_name, ARRAY(SELECT json_array_elements_text(g.key::json)) AS key,
           g.hash_before, g.hash_after, g.finding_number, g.pass
      FROM cleanup.change_log AS g
      JOIN cleanup.run AS r ON r.run_id = g.run_id
      JOIN cleanup.plan_leaf AS l ON l.plan_id = r.plan_id AND l.leaf_number = g.leaf_number
      JOIN cleanup.plan_column AS c
        ON c.plan_id = r.plan_id AND c.table_name = l.table_name AND c.column_number = g.column_number
     WHERE g.run_id = %(run)s
), settled AS (
    SELECT finding_number, outcome, pass FROM cleanup.change_log WHERE run_id = %(run)s
     UNION ALL SELECT finding_number, outcome, pass FROM cleanup.outcome WHERE run_id = %(run)s
)
"""
_TWICE: Final = """
SELECT (SELECT coalesce(sum(n - 1), 0)
          FROM (SELECT count(*) AS n FROM written GROUP BY leaf_name, key, column_name) AS w)
     + (SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM settled GROUP BY finding_number) AS s)
"""
# An apply has to settle what the plan found; a rollback what its source logged, or the part that it planned; a run
# that was stopped in the middle what its batches say that they cover.
_WITHOUT_OUTCOME: Final = """
SELECT CASE WHEN r.state <> 'finished'
       THEN (SELECT count(*) FROM cleanup.batch AS b JOIN cleanup.finding AS f ON f.plan_id = r.plan_id AND f.actionable
                AND f.finding_number > b.after_number AND f.finding_number <= b.through_number
              WHERE b.run_id = r.run_id AND b.pass = 0 AND r.kind = 'apply'
                AND NOT EXISTS (SELECT FROM settled AS s WHERE s.finding_number = f.finding_number)
                AND NOT EXISTS (SELECT FROM cleanup.deferral AS d
                                 WHERE d.run_id = r.run_id AND d.finding_number = f.finding_number))
       WHEN r.kind = 'apply'
       THEN (SELECT count(*) FROM cleanup.finding AS f WHERE f.plan_id = r.plan_id AND f.actionable
                AND NOT EXISTS (SELECT FROM settled AS s WHERE s.finding_number = f.finding_number))
       WHEN r.selection = '{}'
       THEN (SELECT count(*) FROM cleanup.change_log AS g WHERE g.run_id = r.source_run_id
                AND NOT EXISTS (SELECT FROM settled AS s WHERE s.finding_number = g.finding_number))
       ELSE abs(r.planned - (SELECT count(*) FROM settled)) END
  FROM cleanup.run AS r WHERE r.run_id = %(run)s
"""
_LOG_DIFFERS: Final = """
SELECT (SELECT count(*) FROM written AS w
          FULL JOIN logged AS g ON g.leaf_name = w.leaf_name AND g.key = w.key AND g.column_name = w.column_name
           AND g.hash_before = w.before AND g.hash_after = w.after
         WHERE w.key IS NULL OR g.key IS NULL)
     + (SELECT count(*) FROM public.write_seen AS w
         WHERE NOT EXISTS (SELECT FROM public.batch_seen AS s JOIN cleanup.batch AS b USING (run_id, pass, after_number)
                            WHERE s.xid = w.xid))
     + (SELECT count(*) FROM cleanup.batch AS b WHERE b.run_id = %(run)s AND b.log_rows IS DISTINCT FROM
          (SELECT count(*) FROM logged AS g WHERE g.pass = b.pass
              AND g.finding_number > b.after_number AND g.finding_number <= b.through_number))
     + (SELECT count(*) FROM (SELECT outcome, count(*) AS n FROM settled GROUP BY outcome) AS s
          FULL JOIN (SELECT k.key AS outcome, sum(k.value::bigint) AS n
                       FROM cleanup.batch AS b, jsonb_each_text(b.outcomes) AS k
                      WHERE b.run_id = %(run)s GROUP BY k.key) AS b USING (outcome)
         WHERE coalesce(s.n, 0) <> coalesce(b.n, 0))
"""


def measure_run(site: "Site", run_id: int, expected: "Posts | None" = None) -> Measured:
    """What a run came to. `expected` are the posts that an undisturbed run ends with; None where authors wrote."""
    return Measured(
        rows_lost=0 if expected is None else differing_rows(site.everything(), expected),
        rows_twice=_count(site, _TWICE, run_id),
        without_outcome=_count(site, _WITHOUT_OUTCOME, run_id),
        log_differs=_count(site, _LOG_DIFFERS, run_id),
    )


def _count(site: "Site", query: str, run_id: int) -> int:
    with site.connect() as connection:
        row = connection.execute((_WRITTEN + query).encode(), {"run": run_id}).fetchone()
    assert row is not None
    return int(str(row[0]))


def differing_rows(found: "Posts", expected: "Posts") -> int:
    """How many rows are missing, too many, or not what they should be."""
    return sum(
        expected[table].get(key) != found[table].get(key)
        for table in expected
        for key in expected[table].keys() | found[table].keys()
    )


# ------------------------------------------------------------------------------ a plan, against its twin's

_FINDINGS: Final = """
SELECT l.leaf_name, f.key, c.column_name, f.scope, f.actionable, f.value_hash, f.spans
  FROM cleanup.finding AS f
  JOIN cleanup.plan_leaf AS l ON l.plan_id = f.plan_id AND l.leaf_number = f.leaf_number
  JOIN cleanup.plan_column AS c
    ON c.plan_id = f.plan_id AND c.table_name = l.table_name AND c.column_number = f.column_number
 WHERE f.plan_id = %s
"""
_UNDONE: Final = """
SELECT (SELECT count(*) FROM cleanup.plan WHERE plan_id = %(plan)s AND state <> 'finished')
     + (SELECT count(*) FROM cleanup.chunk WHERE plan_id = %(plan)s AND state <> 'done')
"""
_MISCOUNTED: Final = """
SELECT count(*) FROM cleanup.chunk AS c
 CROSS JOIN LATERAL (SELECT count(*) AS findings, count(*) FILTER (WHERE f.actionable) AS actionable
                       FROM cleanup.finding AS f
                      WHERE f.plan_id = c.plan_id AND f.finding_number / 10000000 = c.chunk_number) AS f
 WHERE c.plan_id = %(plan)s AND (c.findings <> f.findings OR c.actionable <> f.actionable)
"""


@dataclass(frozen=True, slots=True)
class Peace:
    """What plan, apply and rollback come to where nothing disturbs them; a rollback ends in `original`."""

    original: "Posts"
    applied: "Posts"
    findings: Counter[str]
    findings_digest: object
    outcomes: dict[str, int]
    chunks: int
    batches: int

    @property
    def planned(self) -> int:
        """How many findings an apply has to settle."""
        return sum(self.outcomes.values())


def measure_plan(site: "Site", plan_id: int, peace: Peace) -> Measured:
    """What a plan came to, against the one that was made in peace."""
    found = findings_of(site, plan_id)
    with site.connect() as connection:
        undone = connection.execute(_UNDONE.encode(), {"plan": plan_id}).fetchall()[0][0]
        miscounted = connection.execute(_MISCOUNTED.encode(), {"plan": plan_id}).fetchall()[0][0]
    return Measured(
        rows_lost=(peace.findings - found).total() + differing_rows(site.everything(), peace.original),
        rows_twice=(found - peace.findings).total(),
        without_outcome=int(str(undone)),
        log_differs=int(str(miscounted)) + (site.findings_digest(plan_id) != peace.findings_digest),
    )


def findings_of(site: "Site", plan_id: int) -> Counter[str]:
    """Every finding of a plan, in words that do not depend on its chunks."""
    return Counter(repr(row) for row in site.rows(_FINDINGS, plan_id))


# ------------------------------------------------------------------------------------------- the twin

_known: dict[str, Peace] = {}
# What makes lanes slow, or holds them, is no part of what a run comes to.
_OWN_TRIGGERS: Final = "NOT tgisinternal AND tgname NOT IN ('slow', 'gate')"


def undisturbed(site: "Site") -> Peace:
    """Plan and apply in a twin of the site's database, where nobody disturbs; before the site's own plan.

    Sites with the same posts, triggers and pace share one such run.
    """
    if site.peace is None:
        site.peace = _peace_of(site)
    return site.peace


def _peace_of(site: "Site") -> Peace:
    digest = _digest_of(site)
    if digest not in _known:
        # Imported here, since the harness of lanes in this process is made for sites, which measure themselves.
        from tests.faults.stepping import in_this_process  # noqa: PLC0415

        with _twin(site) as twin, in_this_process() as stepping:
            original = twin.everything()
            plan = stepping.plan(twin)
            run = stepping.apply(twin, plan)
            _known[digest] = Peace(
                original,
                twin.everything(),
                findings_of(twin, plan),
                twin.findings_digest(plan),
                twin.outcomes(run),
                twin.number("SELECT count(*) FROM cleanup.chunk"),
                twin.number("SELECT count(*) FROM cleanup.batch WHERE run_id = %s", run),
            )
    return _known[digest]


def _digest_of(site: "Site") -> str:
    made: list[Row] = site.rows(f"SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE {_OWN_TRIGGERS} ORDER BY 1")
    return hashlib.sha256(repr((site.pace, made, site.everything())).encode()).hexdigest()


@contextmanager
def _twin(site: "Site") -> "Iterator[Site]":
    place = psycopg.conninfo.conninfo_to_dict(site.dsn)
    name = f"{place['dbname']}_twin"
    keeper = psycopg.conninfo.make_conninfo(site.dsn, dbname="template1")
    folder = site.folder / "twin"
    folder.mkdir(exist_ok=True)
    with psycopg.connect(keeper, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(str(place["dbname"])))
        )
    twin = site.copy_at(psycopg.conninfo.make_conninfo(site.dsn, dbname=name), folder)
    twin.do(*(f"DROP TRIGGER IF EXISTS slow ON public.{table}" for table in _KEYS))
    try:
        yield twin
    finally:
        twin.close()
        with psycopg.connect(keeper, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
