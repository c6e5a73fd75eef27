-- name: lacking
-- Which tables of the ledger the role may not add rows to; rights on single columns are enough.
SELECT c.relname::text
  FROM pg_catalog.pg_class AS c
 WHERE c.relnamespace = pg_catalog.to_regnamespace('cleanup') AND c.relkind IN ('r', 'p')
   AND c.relname = ANY (%(tables)s::text[])
   AND NOT (pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE')
            AND pg_catalog.has_any_column_privilege(c.oid, 'INSERT'))
 ORDER BY 1;

-- name: in_recovery
-- A standby can be scanned, but nothing can be written there.
SELECT pg_catalog.pg_is_in_recovery();
