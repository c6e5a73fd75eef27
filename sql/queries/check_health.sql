-- name: leaves
-- Each leaf's size, storage options and dead rows, as the statistics have them.
SELECT n.nspname || '.' || c.relname, greatest(c.reltuples, 0)::bigint, greatest(c.relpages, 0)::bigint,
       coalesce((SELECT o.option_value::int FROM pg_catalog.pg_options_to_table(c.reloptions) AS o
                  WHERE o.option_name = 'fillfactor'), 100),
       coalesce((SELECT o.option_value::boolean FROM pg_catalog.pg_options_to_table(c.reloptions) AS o
                  WHERE o.option_name = 'autovacuum_enabled'), true),
       coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0), age(c.relfrozenxid),
       coalesce((SELECT o.option_value::int FROM pg_catalog.pg_options_to_table(c.reloptions) AS o
                  WHERE o.option_name = 'autovacuum_freeze_max_age'),
                current_setting('autovacuum_freeze_max_age')::int)
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_stat_all_tables AS s ON s.relid = c.oid
 WHERE c.oid IN (SELECT unnest(%(leaves)s::bigint[])::oid)
 ORDER BY 1;

-- name: autovacuum
-- Without either of these, nothing clears away the old row versions that the run leaves behind.
SELECT current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean;

-- name: detaching
-- A DETACH CONCURRENTLY that was not finished: the partition is neither in nor out.
SELECT n.nspname || '.' || c.relname
  FROM pg_catalog.pg_inherits AS i
  JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE i.inhparent IN (SELECT unnest(%(relations)s::bigint[])::oid) AND i.inhdetachpending
 ORDER BY 1;

-- name: locks
-- Locks that DDL and maintenance take, held or waited for; an ordinary autovacuum gives way and is left out.
SELECT n.nspname || '.' || c.relname, c.relkind = 'p', l.mode, l.granted, coalesce(l.pid, 0),
       coalesce(a.backend_type, 'prepared transaction')
  FROM pg_catalog.pg_locks AS l
  JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.locktype = 'relation' AND l.relation IN (SELECT unnest(%(relations)s::bigint[])::oid)
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
   AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
   AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
   AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                  'AccessExclusiveLock')
 ORDER BY 1, 5;

-- name: old_transactions
-- Whatever keeps dead rows from being cleared away in this database: sessions and prepared transactions.
SELECT 'session ' || a.pid, extract(epoch FROM clock_timestamp() - a.xact_start)::bigint
  FROM pg_catalog.pg_stat_activity AS a
 WHERE a.xact_start IS NOT NULL AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
   AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type = 'client backend'
   AND a.datname = current_database()
   AND clock_timestamp() - a.xact_start >= make_interval(secs => %(seconds)s)
 UNION ALL
SELECT 'prepared transaction ' || x.transaction::text, extract(epoch FROM clock_timestamp() - x.prepared)::bigint
  FROM pg_catalog.pg_prepared_xacts AS x
 WHERE x.database = current_database() AND clock_timestamp() - x.prepared >= make_interval(secs => %(seconds)s)
 ORDER BY 2 DESC;

-- name: old_xmins
-- The same from elsewhere: a standby with hot_standby_feedback speaks for its own old queries, directly or by its slot.
SELECT 'slot ' || s.slot_name, age(s.xmin)
  FROM pg_catalog.pg_replication_slots AS s
 WHERE age(s.xmin) >= %(transactions)s
 UNION ALL
SELECT 'standby ' || r.application_name, age(r.backend_xmin)
  FROM pg_catalog.pg_stat_replication AS r
 WHERE age(r.backend_xmin) >= %(transactions)s
 ORDER BY 2 DESC;

-- name: sees_all
-- Whether other roles' sessions are shown to this role at all.
SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE');

-- name: collations
-- Collations of the tables' indexes, and the database's own, whose library has changed since they were recorded.
SELECT DISTINCT l.collname::text, l.collversion, pg_catalog.pg_collation_actual_version(l.oid)
  FROM pg_catalog.pg_index AS i
 CROSS JOIN LATERAL unnest(i.indcollation) AS u(collation_oid)
  JOIN pg_catalog.pg_collation AS l ON l.oid = u.collation_oid
 WHERE i.indrelid IN (SELECT unnest(%(relations)s::bigint[])::oid)
   AND l.collversion IS DISTINCT FROM pg_catalog.pg_collation_actual_version(l.oid)
   AND l.collversion IS NOT NULL
 UNION
SELECT 'the database''s own', d.datcollversion, pg_catalog.pg_database_collation_actual_version(d.oid)
  FROM pg_catalog.pg_database AS d
 WHERE d.datname = current_database() AND d.datcollversion IS NOT NULL
   AND d.datcollversion IS DISTINCT FROM pg_catalog.pg_database_collation_actual_version(d.oid)
   AND EXISTS (SELECT FROM pg_catalog.pg_index AS i
                CROSS JOIN LATERAL unnest(i.indcollation) AS u(collation_oid)
                JOIN pg_catalog.pg_collation AS l ON l.oid = u.collation_oid
                WHERE i.indrelid IN (SELECT unnest(%(relations)s::bigint[])::oid) AND l.collprovider = 'd')
 ORDER BY 1;
