-- name: clock_and_wal
-- The server's time and how far its WAL has come, in bytes since the beginning; a standby has no such place.
SELECT clock_timestamp(), (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint;

-- name: replicas
-- How far each replica has replayed, and how long ago the newest of that was written as the server itself says.
SELECT coalesce(nullif(r.application_name, ''), host(r.client_addr), 'pid ' || r.pid),
       (r.replay_lsn - '0/0'::pg_lsn)::bigint, coalesce(extract(epoch FROM r.replay_lag), 0)::float8
  FROM pg_stat_replication AS r WHERE r.state IN ('streaming', 'catchup') AND r.replay_lsn IS NOT NULL;

-- name: replicas_are_hidden
-- Without pg_read_all_stats a replica is a row of NULLs.
SELECT NOT pg_has_role('pg_read_all_stats', 'USAGE') AND EXISTS (SELECT FROM pg_stat_replication);

-- name: replayed
-- Asked of a replica itself: whether it is one, whose, and how far it has replayed.
SELECT pg_is_in_recovery(), (SELECT s.system_identifier::text FROM pg_control_system() AS s),
       (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint;

-- name: slot_wal
-- The slot that keeps the most WAL on disk, whether anybody uses it or not.
SELECT s.slot_name::text, (pg_current_wal_lsn() - s.restart_lsn)::bigint
  FROM pg_replication_slots AS s WHERE s.restart_lsn IS NOT NULL ORDER BY s.restart_lsn LIMIT 1;

-- name: archiver
-- Whether WAL is archived at all, whether the last try failed, and how long ago that was.
SELECT current_setting('archive_mode') <> 'off', coalesce(a.last_failed_time > coalesce(a.last_archived_time, '-infinity'), false),
       a.last_failed_wal,
       coalesce(extract(epoch FROM clock_timestamp() - a.last_failed_time), 0)::float8
  FROM pg_stat_archiver AS a;

-- name: archive_queue_is_hidden
-- Listing the files that wait takes pg_monitor.
SELECT NOT has_function_privilege('pg_catalog.pg_ls_archive_statusdir()', 'EXECUTE');

-- name: archive_queue
-- The WAL files that wait for the archiver.
SELECT count(*) FROM pg_ls_archive_statusdir() AS f WHERE right(f.name, 6) = '.ready';

-- name: archive_queue_estimate
-- Where the files can not be listed: how many lie between the newest archived one and the one that is being written.
SELECT ((pg_current_wal_lsn() - '0/0'::pg_lsn) / w.size)::bigint - 1
       - (('x' || substr(a.last_archived_wal, 9, 8))::bit(32)::bigint * (4294967296 / w.size)
          + ('x' || substr(a.last_archived_wal, 17, 8))::bit(32)::bigint)
  FROM pg_stat_archiver AS a
 CROSS JOIN (SELECT setting::bigint AS size FROM pg_settings WHERE name = 'wal_segment_size') AS w
 WHERE a.last_archived_wal ~ '^[0-9A-F]{24}$';

-- name: long_transaction
-- The oldest transaction that vacuum can not pass, of somebody else: prepared ones have no session.
SELECT x.who, extract(epoch FROM clock_timestamp() - x.began_at)::float8
  FROM (SELECT 'session ' || a.pid || coalesce(' of ' || a.usename, '') AS who, a.xact_start AS began_at
          FROM pg_stat_activity AS a
         WHERE a.datname = current_database() AND a.xact_start IS NOT NULL
           AND (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL)
           AND a.backend_type <> 'autovacuum worker' AND NOT starts_with(a.application_name, 'cleanup ')
        UNION ALL
        SELECT 'prepared transaction ' || p.gid, p.prepared FROM pg_prepared_xacts AS p
         WHERE p.database = current_database()) AS x
 ORDER BY x.began_at LIMIT 1;

-- name: transactions_are_hidden
-- Without pg_read_all_stats the transactions of other roles are not shown.
SELECT NOT pg_has_role('pg_read_all_stats', 'USAGE');

-- name: lock_queue
-- Sessions that wait for a lock of an open batch, or behind one that does. Ours are told by the lock that only batches take.
WITH RECURSIVE ours AS MATERIALIZED (
    SELECT coalesce(array_agg(DISTINCT l.pid), '{}') AS pids FROM pg_locks AS l
     WHERE l.granted AND l.relation = 'cleanup.batch'::regclass AND l.mode = 'RowExclusiveLock'
       AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
), waiting AS MATERIALIZED (
    SELECT w.pid, pg_blocking_pids(w.pid) AS blockers
      FROM (SELECT DISTINCT l.pid FROM pg_locks AS l WHERE NOT l.granted LIMIT 200) AS w
     WHERE (SELECT cardinality(o.pids) > 0 FROM ours AS o)
), behind AS (
    SELECT w.pid FROM waiting AS w CROSS JOIN ours AS o WHERE w.blockers && o.pids
    UNION
    SELECT w.pid FROM waiting AS w JOIN behind AS b ON b.pid = ANY (w.blockers)
)
SELECT count(*) FROM behind AS b CROSS JOIN ours AS o WHERE b.pid <> ALL (o.pids);

-- name: vacuums
-- Vacuums at work on these tables or on what PostgreSQL keeps beside them for long texts.
SELECT count(*), min(c.oid::regclass::text)
  FROM pg_stat_progress_vacuum AS v
  JOIN pg_class AS c ON v.relid IN (c.oid, c.reltoastrelid)
 WHERE v.datname = current_database() AND c.oid IN (SELECT o.oid::oid FROM unnest(%(oids)s::bigint[]) AS o(oid));

-- name: vacuums_are_hidden
-- Of another role's vacuum the table is shown to pg_read_all_stats alone.
SELECT EXISTS (SELECT FROM pg_stat_progress_vacuum AS v WHERE v.datname = current_database() AND v.relid IS NULL);
