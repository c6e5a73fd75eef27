-- name: materialized_views
-- Materialized views that keep a written column, read from the table itself or through other views.
WITH RECURSIVE reading AS (
    SELECT DISTINCT w.ev_class AS view_oid
      FROM pg_catalog.pg_depend AS d
      JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid
      LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
     WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
       AND d.refobjid IN (SELECT unnest(%(relations)s::bigint[])::oid) AND w.ev_class <> d.refobjid
       AND (d.refobjsubid = 0 OR a.attname = ANY (%(columns)s::text[]))
     UNION
    SELECT w.ev_class
      FROM reading AS r
      JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = r.view_oid
      JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::regclass
)
SELECT n.nspname || '.' || c.relname
  FROM reading AS r
  JOIN pg_catalog.pg_class AS c ON c.oid = r.view_oid AND c.relkind = 'm'
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 ORDER BY 1;

-- name: tables_with_text
-- Every table that holds text, JSON or arrays of them, with those columns and all column names; partitions count as
-- their table, the ledger and the system's own schemas not at all.
SELECT c.oid::bigint, n.nspname::text, c.relname::text,
       (SELECT sum(greatest(l.relpages, 0)) FROM pg_catalog.pg_class AS l
         WHERE l.oid = c.oid OR l.oid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree(c.oid) AS t))::bigint,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (
           WHERE pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')
             AND (b.typcategory = 'S' AND b.typname <> 'name' OR b.typname IN ('json', 'jsonb', 'xml', 'hstore'))),
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (
           WHERE NOT pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')
             AND (b.typcategory = 'S' AND b.typname <> 'name' OR b.typname IN ('json', 'jsonb', 'xml', 'hstore'))),
       array_agg(a.attname::text ORDER BY a.attnum)
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
  JOIN pg_catalog.pg_type AS b ON b.oid = coalesce(nullif(t.typelem, 0), nullif(t.typbasetype, 0), t.oid)
 WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'cleanup') AND n.nspname !~ '^pg_toast'
 GROUP BY c.oid, n.oid, n.nspname, c.relname
HAVING bool_or(b.typcategory = 'S' AND b.typname <> 'name' OR b.typname IN ('json', 'jsonb', 'xml', 'hstore'))
 ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C";

-- name: sample
-- A few pages of a table, as many as its size needs for some thousand rows; always the same ones.
SELECT /*{texts}*/ left(t.body::text, 10000) /*{/texts}*/
  FROM /*{table}*/ cleanup.example /*{/table}*/ AS t
       TABLESAMPLE SYSTEM (/*{percent}*/ 1 /*{/percent}*/) REPEATABLE (1)
 LIMIT /*{rows}*/ 1 /*{/rows}*/;

-- name: rows_estimate
-- How many rows the statistics give a table and its partitions.
SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint
  FROM pg_catalog.pg_class AS c
 WHERE c.oid = %(oid)s::oid OR c.oid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree(%(oid)s::oid) AS t
                                        WHERE t.isleaf);
