-- name: firing
-- Triggers that an UPDATE of these columns would fire on a leaf, whatever session_replication_role is; those that
-- are disabled for good are left out. One row for each trigger, on however many leaves it hangs.
SELECT t.tgname::text, min(n.nspname || '.' || c.relname), count(*)::int,
       t.tgenabled::text, t.tgtype & 2 <> 0, t.tgtype & 1 <> 0, t.tgqual IS NOT NULL,
       f.pronamespace::regnamespace::text || '.' || f.proname, l.lanname::text, f.prosrc,
       encode(t.tgargs, 'escape'),
       EXISTS (SELECT FROM unnest(f.proconfig) AS s(setting) WHERE s.setting LIKE 'search\_path=%%')
  FROM pg_catalog.pg_trigger AS t
  JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_proc AS f ON f.oid = t.tgfoid
  JOIN pg_catalog.pg_language AS l ON l.oid = f.prolang
 WHERE t.tgrelid IN (SELECT unnest(%(leaves)s::bigint[])::oid)
   AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 16 <> 0
   AND (t.tgattr::text = '' OR EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS a
         WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr::int2[]) AND a.attname = ANY (%(columns)s::text[])))
 GROUP BY 1, 4, 5, 6, 7, 8, 9, 10, 11, 12
 ORDER BY 1, 2;

-- name: replication_role
-- What the session starts with, and whether this role may set it.
SELECT current_setting('session_replication_role'),
       pg_catalog.has_parameter_privilege('session_replication_role', 'SET');
