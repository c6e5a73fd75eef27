-- How far is each run, how fast, and what holds it? psql -v run=1 -f progress.sql, or without -v for all runs.
\if :{?run} \else \set run '' \endif
SELECT r.run_id AS run,
       CASE WHEN r.kind = 'apply' THEN 'apply of plan ' || r.plan_id ELSE 'rollback of run ' || r.source_run_id END AS what,
       r.state || CASE WHEN r.finished_at IS NULL AND k.wish <> 'go' THEN ', ' || k.wish || ' asked' ELSE '' END AS state,
       b.settled, r.planned,
       pg_catalog.round(100.0 * b.settled / nullif(r.planned, 0), 1) AS percent,
       b.batches, b.recent * 2 AS settled_a_minute,
       CASE WHEN r.finished_at IS NULL AND b.recent > 0
            THEN pg_catalog.make_interval(secs => pg_catalog.round((r.planned - b.settled) * 30.0 / b.recent)) END AS left_at_this_rate,
       pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - b.newest) AS since_last_batch,
       b.longest_ms,
       CASE WHEN r.finished_at IS NOT NULL THEN NULL
            WHEN k.wish <> 'go' THEN k.wish || ' by ' || k.asked_by || coalesce(': ' || k.reason, '')
            WHEN l.lanes = 0 THEN 'no job works on it'
            WHEN t.reason IS NOT NULL THEN t.reason END AS held_by,
       l.lanes, r.started_by, pg_catalog.date_trunc('second', r.created_at) AS created_at,
       pg_catalog.date_trunc('second', r.finished_at) AS finished_at,
       (SELECT pg_catalog.string_agg(m.moment || ' ' || coalesce(m.restore_point, m.lsn::text), ', ' ORDER BY m.lsn)
          FROM cleanup.wal_mark AS m WHERE m.run_id = r.run_id) AS in_the_wal,
       pg_catalog.encode(r.log_head, 'hex') AS log_head
  FROM cleanup.run AS r
  LEFT JOIN cleanup.control AS k ON k.run_id = r.run_id
  LEFT JOIN cleanup.throttle AS t ON t.run_id = r.run_id
 CROSS JOIN LATERAL (
        SELECT pg_catalog.count(*) AS batches, max(b.written_at) AS newest, pg_catalog.round(max(b.lock_ms)) AS longest_ms,
               coalesce(sum((SELECT sum(o.value::bigint) FROM pg_catalog.jsonb_each_text(b.outcomes) AS o)), 0) AS settled,
               coalesce(sum(b.findings) FILTER (WHERE b.written_at > pg_catalog.clock_timestamp() - interval '30 seconds'), 0) AS recent
          FROM cleanup.batch AS b WHERE b.run_id = r.run_id) AS b
 CROSS JOIN LATERAL (
        SELECT pg_catalog.count(*) FILTER (WHERE cleanup.lease_is_alive(c.lease_until, c.lease_pid, c.lease_backend)) AS lanes
          FROM cleanup.run_chunk AS c WHERE c.run_id = r.run_id AND c.state = 'claimed') AS l
 WHERE :'run' IN ('', r.run_id::text)
 ORDER BY r.run_id DESC;
