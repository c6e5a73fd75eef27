-- name: create_for_apply
-- The plan's chunks that have something to do.
INSERT INTO cleanup.run_chunk (run_id, chunk_number, leaf_number, after_number, through_number)
SELECT %(run_id)s, c.chunk_number, c.leaf_number, c.chunk_number::bigint * 10000000, c.chunk_number::bigint * 10000000 + c.findings
  FROM cleanup.chunk AS c WHERE c.plan_id = %(plan_id)s AND c.actionable > 0;

-- name: create_for_rollback
-- The source run's chunks again.
INSERT INTO cleanup.run_chunk (run_id, chunk_number, leaf_number, after_number, through_number)
SELECT %(run_id)s, c.chunk_number, c.leaf_number, c.after_number, c.through_number
  FROM cleanup.run_chunk AS c WHERE c.run_id = %(source_run_id)s;

-- name: claim
-- The first chunk that is open, or whose lane is gone; later passes wait until every first pass is taken. The last one
-- where the newest posts are wanted first: keys mostly rise with time.
UPDATE cleanup.run_chunk AS c
   SET state = 'claimed', attempt = c.attempt + 1, lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s),
       lease_pid = pg_backend_pid(), lease_backend = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())
 WHERE (c.run_id, c.chunk_number) = (
        SELECT d.run_id, d.chunk_number FROM cleanup.run_chunk AS d
         WHERE d.run_id = %(run_id)s
           AND EXISTS (SELECT FROM cleanup.run AS r WHERE r.run_id = d.run_id AND r.state = 'running')
           AND (d.state = 'open'
                OR d.state = 'claimed' AND NOT cleanup.lease_is_alive(d.lease_until, d.lease_pid, d.lease_backend))
         ORDER BY d.pass, CASE WHEN %(newest_first)s THEN -d.chunk_number ELSE d.chunk_number END LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING c.chunk_number, c.leaf_number, c.after_number, c.through_number, c.pass, c.attempt;

-- name: renew
-- A long chunk keeps its lease while it makes progress, on the session that the lane has now; no row means that
-- another lane has taken it over.
UPDATE cleanup.run_chunk
   SET lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s),
       lease_pid = pg_backend_pid(), lease_backend = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())
 WHERE run_id = %(run_id)s AND chunk_number = %(chunk_number)s AND attempt = %(attempt)s AND state = 'claimed';

-- name: release
-- A lane that stops gives its chunk back at once.
UPDATE cleanup.run_chunk SET state = 'open'
 WHERE run_id = %(run_id)s AND chunk_number = %(chunk_number)s AND attempt = %(attempt)s AND state = 'claimed';

-- name: end_pass
-- Done, unless rows were deferred to a further pass. No row where the chunk is another lane's by now, or where the
-- ledger's checkpoint is not the lane's: after a failover to a standby that lacked commits, some batches are undone.
UPDATE cleanup.run_chunk AS c
   SET state = CASE WHEN p.deferred THEN 'open' ELSE 'done' END, pass = CASE WHEN p.deferred THEN c.pass + 1 ELSE c.pass END
  FROM (SELECT EXISTS (SELECT FROM cleanup.deferral AS d
                        WHERE d.run_id = %(run_id)s AND d.pass = %(pass)s + 1
                          AND d.finding_number > %(after_number)s AND d.finding_number <= %(through_number)s) AS deferred) AS p
 WHERE c.run_id = %(run_id)s AND c.chunk_number = %(chunk_number)s AND c.attempt = %(attempt)s AND c.state = 'claimed'
   AND c.pass = %(pass)s
   AND coalesce((SELECT max(b.through_number) FROM cleanup.batch AS b
                  WHERE b.run_id = c.run_id AND b.pass = c.pass
                    AND b.after_number >= c.after_number AND b.after_number < c.through_number), c.after_number) = %(position)s;

-- name: unfinished
-- The run is over when this is none.
SELECT count(*) FROM cleanup.run_chunk WHERE run_id = %(run_id)s AND state <> 'done';

-- name: awaited
-- Whether lanes have something to wait for: chunks that others hold, in a run that nobody has stopped.
SELECT EXISTS (SELECT FROM cleanup.run_chunk AS c
                 JOIN cleanup.run AS r ON r.run_id = c.run_id AND r.state = 'running'
                WHERE c.run_id = %(run_id)s AND c.state <> 'done');
