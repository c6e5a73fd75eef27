-- name: set_local
-- All settings of a transaction at once; local, so that a pooling proxy never sees them leak.
SELECT set_config(s.name, s.setting, true)
  FROM unnest(%(names)s::text[], %(settings)s::text[]) AS s(name, setting);

-- name: server_clock
-- The cutover is judged by the server's clock alone.
SELECT clock_timestamp();

-- name: standby
-- After a failover an address may still lead to the old primary, which is a standby by then.
SELECT pg_is_in_recovery();

-- name: has_replayed
-- Whether a standby has come so far in its primary's WAL; NULL where this is no standby.
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() >= %(lsn)s::pg_lsn END;
