-- name: settings
-- Settings as this session has them, in their base units; NULL where the server has no such setting.
SELECT w.name, coalesce(s.setting, current_setting(w.name, true))
  FROM unnest(%(names)s::text[]) AS w(name)
  LEFT JOIN pg_catalog.pg_settings AS s ON s.name = w.name;

-- name: connections
-- How many connections are taken, and the limits of the server, the database and the role; -1 is no limit.
SELECT current_setting('max_connections')::int
       - current_setting('superuser_reserved_connections')::int
       - coalesce(current_setting('reserved_connections', true)::int, 0),
       (SELECT coalesce(sum(b.numbackends), 0)::int FROM pg_catalog.pg_stat_database AS b),
       d.datconnlimit, (SELECT b.numbackends FROM pg_catalog.pg_stat_database AS b WHERE b.datid = d.oid),
       r.rolconnlimit, (SELECT count(*)::int FROM pg_catalog.pg_stat_activity AS a WHERE a.usesysid = r.oid)
  FROM pg_catalog.pg_database AS d, pg_catalog.pg_roles AS r
 WHERE d.datname = current_database() AND r.rolname = current_user;

-- name: archiver
-- Whether WAL that was to be archived is.
SELECT current_setting('archive_mode'), a.archived_count, a.last_archived_time,
       a.failed_count, a.last_failed_time,
       a.last_failed_time IS NOT NULL AND a.last_failed_time > coalesce(a.last_archived_time, '-infinity')
  FROM pg_catalog.pg_stat_archiver AS a;

-- name: base_backup
-- The end of a base backup leaves a history file beside the WAL, for as long as WAL is archived.
SELECT max(w.modification), extract(epoch FROM clock_timestamp() - max(w.modification))::bigint
  FROM pg_catalog.pg_ls_waldir() AS w
 WHERE w.name LIKE '%%.backup';
