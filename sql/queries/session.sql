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
