"""A site whose runs have every kind of ledger row, and ways to tamper with the ledger behind the job's back."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psycopg

from tests.integration.jobs import LINK, POLICY, Job

CONFIG: Final = f"""
policy = "{POLICY}"
[[table]]
name = "public.note"
created_at = "created_at"
author = "author_id"
columns = {{ title = "text", body = "text" }}
[[table]]
name = "public.comment"
created_at = "created_at"
author = "author_id"
columns = {{ body = "text" }}
[pace]
lanes = 1
chunk_rows = 20
batch_rows_max = 6
[approval]
max_drift = 1.0
"""

SCHEMA: Final = """
CREATE TABLE note (id bigint PRIMARY KEY, created_at timestamptz, author_id bigint, title text, body text);
CREATE TABLE comment (id uuid PRIMARY KEY, created_at timestamptz, author_id bigint, body text)
"""

# What a run writes to the ledger beside its own row.
EVIDENCE: Final = ("change_log", "outcome", "conflict", "deferral", "batch")
# Rows of the notes that somebody treats in some way between plan and apply, or while apply runs.
EDITED, GONE, HELD, EDITED_LATER = 12, 13, 14, 15


def make_runs(job: Job) -> None:
    """Run 1 applies, run 2 rolls it back, run 3 rolls that back; each has several batches, some several passes."""
    job.execute(SCHEMA)
    job.execute(
        """INSERT INTO note
           SELECT n, '2021-01-01 08:00+08', n %% 7, CASE WHEN n %% 2 = 0 THEN %s END, '第 ' || n || ' 篇 ' || %s
             FROM generate_series(1, 40) AS n""",
        f"标题 {LINK}",
        f"去 {LINK} 看",
    )
    job.execute(
        "INSERT INTO comment SELECT md5(n::text)::uuid, '2021-01-02 08:00+08', n, %s FROM generate_series(1, 10) AS n",
        f"评论 {LINK}",
    )
    job.done("init")
    plan = job.plan()
    job.execute("UPDATE note SET body = '没有了' WHERE id = %s", EDITED)
    job.execute("DELETE FROM note WHERE id = %s", GONE)
    with held_until_deferred(job, HELD):
        run = job.apply(plan)
    job.execute("UPDATE note SET body = '全都改了' WHERE id = %s", EDITED_LATER)
    rollback = job.roll_back(run, status=1)
    job.roll_back(rollback)


@contextmanager
def held_until_deferred(job: Job, identifier: int) -> Iterator[None]:
    """Hold a row until a lane has put it off for the first time."""
    job.execute(
        """CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NOTIFY deferred; RETURN NULL; END $$;
           CREATE TRIGGER tell AFTER INSERT ON cleanup.deferral FOR EACH STATEMENT EXECUTE FUNCTION tell()"""
    )
    with psycopg.connect(job.dsn, autocommit=True) as listener, psycopg.connect(job.dsn) as holder:
        listener.execute("LISTEN deferred")
        holder.execute("SELECT FROM note WHERE id = %s FOR UPDATE", (identifier,))

        def let_go() -> None:
            next(listener.notifies(timeout=60, stop_after=1))
            holder.rollback()

        waiting = threading.Thread(target=let_go)
        waiting.start()
        try:
            yield
        finally:
            waiting.join()
    job.execute("DROP TRIGGER tell ON cleanup.deferral; DROP FUNCTION tell()")


def keep_evidence(job: Job) -> None:
    """Copy the ledger, so that each test can put it back; let a bit of an outcome be turned, as an owner could."""
    job.execute("ALTER TABLE cleanup.change_log DROP CONSTRAINT change_log_outcome_check")
    job.execute("ALTER TABLE cleanup.batch DROP CONSTRAINT batch_check")
    job.execute("CREATE SCHEMA kept")
    for table in (*EVIDENCE, "run", "event"):
        job.execute(f"CREATE TABLE kept.{table} AS TABLE cleanup.{table}")


def put_back(job: Job) -> None:
    """Make the ledger what it was."""
    with psycopg.connect(job.dsn) as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        for table in EVIDENCE:
            connection.execute(f"DELETE FROM cleanup.{table}".encode())
            connection.execute(f"INSERT INTO cleanup.{table} TABLE kept.{table}".encode())
        connection.execute(
            """UPDATE cleanup.run AS r SET log_head = k.log_head, planned = k.planned
                 FROM kept.run AS k WHERE k.run_id = r.run_id;
               UPDATE cleanup.event AS e SET detail = k.detail
                 FROM kept.event AS k WHERE k.event_id = e.event_id"""
        )


def columns_of(dsn: str, table: str) -> Sequence[tuple[str, str]]:
    """The columns of a table of the ledger with their types."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            (f"cleanup.{table}",),
        ).fetchall()
    return [(str(name), str(kind)) for name, kind in rows]


def flipped(column: str, kind: str) -> str:
    """An expression: the column with one bit turned over."""
    match kind:
        case "bytea":
            return f"set_bit({column}, 3, 1 - get_bit({column}, 3))"
        case "bigint":
            # High enough to hit nobody else's number.
            return f"{column} # (1::bigint << 40)"
        case "integer" | "smallint":
            return f"({column}::int # 64)::{kind}"
        case "boolean":
            return f"NOT {column}"
        case "real":
            return f"{column} + 1"
        case "text":
            return f"overlay({column} placing chr(ascii({column}) # 1) from 1 for 1)"
        case "text[]":
            return f"ARRAY[overlay({column}[1] placing chr(ascii({column}[1]) # 1) from 1 for 1)] || {column}[2:]"
        case "timestamp with time zone":
            odd = f"(extract(microseconds FROM {column})::bigint % 2)"
            return f"{column} + (1 - 2 * {odd}) * interval '1 microsecond'"
        case "jsonb":
            first = f"(SELECT min(k) FROM jsonb_object_keys({column}) AS k)"
            turned = f"jsonb_set({column}, ARRAY[{first}], to_jsonb(({column} ->> {first})::int # 1))"
            # Where there is none, it is the bit that says so.
            return f"coalesce({turned}, '{{\"conflict\": 1}}')"
        case other:
            raise AssertionError(f"no way to turn a bit of {other}")
