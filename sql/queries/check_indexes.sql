-- name: of_leaves
-- Every index of the leaves, and whether it depends on a written column: as a key, in an expression, in its predicate.
SELECT tn.nspname || '.' || t.relname, x.relname::text, m.amname::text,
       i.indisunique, i.indisvalid AND i.indisready, greatest(x.relpages, 0)::bigint,
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
              WHERE a.attrelid = i.indrelid AND a.attnum > 0 AND a.attname = ANY (%(columns)s::text[])
                AND (a.attnum = ANY (i.indkey::int2[]) OR EXISTS (
                     SELECT FROM pg_catalog.pg_depend AS d
                      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indexrelid
                        AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indrelid
                        AND d.refobjsubid = a.attnum))
              ORDER BY 1),
       i.indnkeyatts::int
  FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
  JOIN pg_catalog.pg_am AS m ON m.oid = x.relam
  JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
  JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
 WHERE i.indrelid IN (SELECT unnest(%(leaves)s::bigint[])::oid)
 ORDER BY 1, 2;
