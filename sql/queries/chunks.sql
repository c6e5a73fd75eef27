-- name: lock_plan
-- Claims are made one at a time, so that boundaries follow one another; the row is locked, never written.
SELECT state = 'scanning' FROM cleanup.plan WHERE plan_id = %(plan_id)s FOR NO KEY UPDATE;

-- name: take_over
-- A chunk whose lane is gone. The attempt number goes up, so that the old lane can not finish it any more.
UPDATE cleanup.chunk AS c
   SET attempt = c.attempt + 1, lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s),
       lease_pid = pg_backend_pid(), lease_backend = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())
 WHERE (c.plan_id, c.chunk_number) = (
        SELECT d.plan_id, d.chunk_number FROM cleanup.chunk AS d
         WHERE d.plan_id = %(plan_id)s AND d.state = 'claimed'
           AND NOT cleanup.lease_is_alive(d.lease_until, d.lease_pid, d.lease_backend)
         ORDER BY d.chunk_number LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING c.chunk_number, c.leaf_number, c.after_key, c.through_key, c.attempt;

-- name: last
-- Where the next chunk starts: behind the last one of the leaf that is being scanned.
SELECT c.chunk_number, c.leaf_number, c.through_key
  FROM cleanup.chunk AS c WHERE c.plan_id = %(plan_id)s ORDER BY c.chunk_number DESC LIMIT 1;

-- name: claim
-- A new chunk, with a lease and its first attempt.
INSERT INTO cleanup.chunk (plan_id, chunk_number, leaf_number, after_key, through_key, lease_until, lease_pid, lease_backend)
SELECT %(plan_id)s, %(chunk_number)s, %(leaf_number)s, %(after_key)s, %(through_key)s,
       clock_timestamp() + make_interval(secs => %(lease_seconds)s), a.pid, a.backend_start
  FROM pg_stat_activity AS a WHERE a.pid = pg_backend_pid()
RETURNING attempt;

-- name: finish
-- The checkpoint of a scan: counts and findings become visible together, if the attempt is still ours. Its keys count
-- too: after a failover to a standby that lacked commits, another chunk may have the same number.
UPDATE cleanup.chunk
   SET state = 'done', findings = %(findings)s, actionable = %(actionable)s, counts = %(counts)s, finished_at = clock_timestamp()
 WHERE plan_id = %(plan_id)s AND chunk_number = %(chunk_number)s AND attempt = %(attempt)s AND state = 'claimed'
   AND leaf_number = %(leaf_number)s AND after_key IS NOT DISTINCT FROM %(after_key)s::text[]
   AND through_key IS NOT DISTINCT FROM %(through_key)s::text[];

-- name: unfinished
-- How many chunks other lanes still hold; the scan is over when none is left and no leaf is open.
SELECT count(*) FROM cleanup.chunk WHERE plan_id = %(plan_id)s AND state <> 'done';

-- name: counts
-- What each finished chunk counted, for progress and totals.
SELECT c.leaf_number, c.findings, c.actionable, c.counts FROM cleanup.chunk AS c
 WHERE c.plan_id = %(plan_id)s AND c.state = 'done' ORDER BY c.chunk_number;

-- name: renew
-- A long chunk keeps its lease while it makes progress; no row means another lane has taken it over.
UPDATE cleanup.chunk SET lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
 WHERE plan_id = %(plan_id)s AND chunk_number = %(chunk_number)s AND attempt = %(attempt)s AND state = 'claimed';

-- name: actionable
-- How many findings a run of the plan has to visit.
SELECT coalesce(sum(actionable), 0)::bigint FROM cleanup.chunk WHERE plan_id = %(plan_id)s AND state = 'done';

-- name: progress
-- Rows read so far, and how many the catalog expects.
SELECT coalesce((SELECT sum((c.counts ->> 'rows')::bigint) FROM cleanup.chunk AS c
                  WHERE c.plan_id = %(plan_id)s AND c.state = 'done'), 0)::bigint,
       (SELECT coalesce(sum(l.row_estimate), 0)::bigint FROM cleanup.plan_leaf AS l WHERE l.plan_id = %(plan_id)s);

-- name: refused
-- How many values the plan found and could not change, from the chunks' own counts.
SELECT coalesce(sum(r.value::bigint), 0)::bigint
  FROM cleanup.chunk AS c CROSS JOIN LATERAL jsonb_each_text(c.counts -> 'refusals') AS r
 WHERE c.plan_id = %(plan_id)s AND c.state = 'done';
