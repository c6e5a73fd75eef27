-- name: run
-- How far a run has come, from its batches alone; of the last half minute also how much was done, which is the rate.
SELECT r.run_id, r.kind, r.plan_id, r.state, r.planned, r.created_at, r.finished_at, p.cutover, clock_timestamp(),
       b.batches, b.visited, b.edited, b.log_rows, b.lock_seconds, b.last_written_at, b.recent_visited, b.recent_seconds
  FROM cleanup.run AS r
  JOIN cleanup.plan AS p ON p.plan_id = r.plan_id
 CROSS JOIN LATERAL (
        SELECT count(*)::bigint AS batches, coalesce(sum(t.findings), 0)::bigint AS visited,
               coalesce(sum(t.edited), 0)::bigint AS edited, coalesce(sum(t.log_rows), 0)::bigint AS log_rows,
               coalesce(sum(t.lock_ms::float8), 0) / 1000 AS lock_seconds, max(t.written_at) AS last_written_at,
               coalesce(sum(t.findings) FILTER (WHERE t.written_at > clock_timestamp() - interval '30 seconds'), 0)::bigint
                   AS recent_visited,
               extract(epoch FROM clock_timestamp() - min(t.written_at) FILTER (
                   WHERE t.written_at > clock_timestamp() - interval '30 seconds'))::float8 AS recent_seconds
          FROM cleanup.batch AS t WHERE t.run_id = r.run_id) AS b
 WHERE r.run_id = %(run_id)s;

-- name: lock_times
-- How many batches held their locks for how long: bucket 0 is below the first bound, the last one above the last.
SELECT width_bucket(b.lock_ms::float8 / 1000, %(bounds)s::float8[]), count(*)::bigint
  FROM cleanup.batch AS b WHERE b.run_id = %(run_id)s AND b.lock_ms IS NOT NULL GROUP BY 1 ORDER BY 1;

-- name: retries
-- How often batches had to be tried again, by cause.
SELECT r.key, sum(r.value::bigint)::bigint
  FROM cleanup.batch AS b CROSS JOIN LATERAL jsonb_each_text(b.retries) AS r
 WHERE b.run_id = %(run_id)s GROUP BY 1 ORDER BY 1;

-- name: lanes
-- The lanes of a run: who has a session under a lane's name, and who holds a chunk. What a session does is told to its
-- own role and to pg_read_all_stats; that it is there, to all.
SELECT s.lane, s.client, coalesce(s.pid, c.lease_pid), c.chunk_number, c.leaf_name, c.pass, s.state, s.waits_for, s.query_name,
       s.seconds
  FROM (SELECT a.pid, a.backend_start, substring(a.application_name FROM '[0-9]+$')::int AS lane,
               coalesce(host(a.client_addr), 'local') AS client, a.state,
               CASE WHEN a.state = 'active' THEN a.wait_event_type END AS waits_for,
               substring(a.query FROM 'cleanup:([a-z_]+[.][a-z_]+)') AS query_name,
               extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS seconds
          FROM pg_stat_activity AS a
         WHERE a.datname = current_database()
           AND a.application_name ~ ('^cleanup (apply|rollback) run ' || %(run_id)s::bigint || ' lane [0-9]+$')) AS s
  FULL JOIN (SELECT k.chunk_number, l.leaf_name, k.pass, k.lease_pid, k.lease_backend
               FROM cleanup.run_chunk AS k
               JOIN cleanup.run AS r ON r.run_id = k.run_id
               JOIN cleanup.plan_leaf AS l ON l.plan_id = r.plan_id AND l.leaf_number = k.leaf_number
              WHERE k.run_id = %(run_id)s AND k.state = 'claimed'
                AND cleanup.lease_is_alive(k.lease_until, k.lease_pid, k.lease_backend)) AS c
         ON c.lease_pid = s.pid AND c.lease_backend = s.backend_start
 ORDER BY 1 NULLS LAST, 2, 3;

-- name: newest_run
-- The run that somebody who names none wants to watch: the newest one that is open.
SELECT r.run_id FROM cleanup.run AS r WHERE r.finished_at IS NULL ORDER BY r.run_id DESC LIMIT 1;

-- name: newest_plan
-- The plan likewise: the newest one that is being made.
SELECT p.plan_id FROM cleanup.plan AS p WHERE p.state = 'scanning' ORDER BY p.plan_id DESC LIMIT 1;

-- name: plan
-- How far a plan has come, from its finished chunks; of the last half minute also how much was done.
SELECT p.plan_id, p.state, p.started_at, p.finished_at, p.cutover, clock_timestamp(),
       (SELECT coalesce(sum(l.row_estimate), 0)::bigint FROM cleanup.plan_leaf AS l WHERE l.plan_id = p.plan_id),
       c.chunks, c.rows_read, c.findings, c.actionable, c.last_finished_at, c.recent_rows, c.recent_seconds
  FROM cleanup.plan AS p
 CROSS JOIN LATERAL (
        SELECT count(*)::bigint AS chunks, coalesce(sum((k.counts ->> 'rows')::bigint), 0)::bigint AS rows_read,
               coalesce(sum(k.findings), 0)::bigint AS findings, coalesce(sum(k.actionable), 0)::bigint AS actionable,
               max(k.finished_at) AS last_finished_at,
               coalesce(sum((k.counts ->> 'rows')::bigint)
                            FILTER (WHERE k.finished_at > clock_timestamp() - interval '30 seconds'), 0)::bigint AS recent_rows,
               extract(epoch FROM clock_timestamp() - greatest(p.started_at, clock_timestamp() - interval '30 seconds'))::float8
                   AS recent_seconds
          FROM cleanup.chunk AS k WHERE k.plan_id = p.plan_id AND k.state = 'done') AS c
 WHERE p.plan_id = %(plan_id)s;

-- name: plan_lanes
-- The lanes of a plan: who has a session under a lane's name, and who scans which chunk.
SELECT s.lane, s.client, coalesce(s.pid, c.lease_pid), c.chunk_number, c.leaf_name, NULL::smallint, s.state, s.waits_for,
       s.query_name, s.seconds
  FROM (SELECT a.pid, a.backend_start, substring(a.application_name FROM '[0-9]+$')::int AS lane,
               coalesce(host(a.client_addr), 'local') AS client, a.state,
               CASE WHEN a.state = 'active' THEN a.wait_event_type END AS waits_for,
               substring(a.query FROM 'cleanup:([a-z_]+[.][a-z_]+)') AS query_name,
               extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS seconds
          FROM pg_stat_activity AS a
         WHERE a.datname = current_database()
           AND a.application_name ~ ('^cleanup plan ' || %(plan_id)s::bigint || ' lane [0-9]+$')) AS s
  FULL JOIN (SELECT k.chunk_number, l.leaf_name, k.lease_pid, k.lease_backend
               FROM cleanup.chunk AS k
               JOIN cleanup.plan_leaf AS l ON l.plan_id = k.plan_id AND l.leaf_number = k.leaf_number
              WHERE k.plan_id = %(plan_id)s AND k.state = 'claimed'
                AND cleanup.lease_is_alive(k.lease_until, k.lease_pid, k.lease_backend)) AS c
         ON c.lease_pid = s.pid AND c.lease_backend = s.backend_start
 ORDER BY 1 NULLS LAST, 2, 3;
