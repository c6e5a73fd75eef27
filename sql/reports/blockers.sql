-- Who waits for a lane of ours, and for whom does a lane wait? psql -v run=1 -f blockers.sql, or without -v for all runs.
-- What other roles' sessions do is shown to members of pg_read_all_stats alone.
\if :{?run} \else \set run '' \endif
WITH session AS (
    SELECT a.pid, a.usename, a.application_name, a.state, a.wait_event_type || ' ' || a.wait_event AS waits_for,
           a.xact_start, a.query_start,
           -- Each statement of ours begins with its name and its run; of others only the verb is shown, never a text.
           coalesce(pg_catalog.substring(a.query, '^/\* (cleanup:[^*]*) \*/'),
                    pg_catalog.upper(pg_catalog.substring(a.query, '^\s*(\w+)'))) AS statement,
           a.application_name LIKE 'cleanup %' AND (:'run' = '' OR a.application_name ~ ('\yrun ' || :'run' || '\y'))
           OR EXISTS (SELECT FROM cleanup.run_chunk AS c
                       WHERE c.state = 'claimed' AND c.lease_pid = a.pid AND c.lease_backend = a.backend_start
                         AND :'run' IN ('', c.run_id::text)) AS is_ours
      FROM pg_catalog.pg_stat_activity AS a
     WHERE a.datname = pg_catalog.current_database()),
waiting AS (
    SELECT w.pid AS waiter, b.pid AS blocker
      FROM session AS w CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) AS b(pid)
     WHERE w.waits_for LIKE 'Lock %')
SELECT CASE WHEN b.is_ours AND w.is_ours THEN 'a lane waits for a lane' WHEN b.is_ours THEN 'somebody waits for us'
            ELSE 'we wait for somebody' END AS what,
       w.pid AS waiter, w.usename AS waiter_role, w.application_name AS waiter_application, w.statement AS waiter_statement,
       pg_catalog.date_trunc('milliseconds', pg_catalog.clock_timestamp() - w.query_start) AS waits_since,
       b.pid AS blocker, b.usename AS blocker_role, b.application_name AS blocker_application, b.state AS blocker_state,
       b.statement AS blocker_statement,
       pg_catalog.date_trunc('milliseconds', pg_catalog.clock_timestamp() - b.xact_start) AS in_transaction_since
  FROM waiting AS g JOIN session AS w ON w.pid = g.waiter LEFT JOIN session AS b ON b.pid = g.blocker
 WHERE w.is_ours OR b.is_ours
 ORDER BY waits_since DESC;
