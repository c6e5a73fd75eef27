-- name: rights
-- What the role may do on each leaf, column by column: partitions are read and written directly, so that rights on
-- the table as a whole do not reach. A right on the whole leaf counts for its columns.
SELECT n.nspname || '.' || c.relname, a.attname::text,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT'),
       pg_catalog.has_column_privilege(c.oid, a.attnum, 'UPDATE')
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.oid IN (SELECT unnest(%(leaves)s::bigint[])::oid) AND a.attname = ANY (%(columns)s::text[])
 ORDER BY 1, 2;

-- name: row_security
-- Leaves whose policies would hide rows from this role: with row_security off the server errors instead.
SELECT n.nspname || '.' || c.relname
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid IN (SELECT unnest(%(leaves)s::bigint[])::oid) AND pg_catalog.row_security_active(c.oid)
 ORDER BY 1;

-- name: rules
-- Rules rewrite an UPDATE into something else, and are not allowed at all beside RETURNING.
SELECT r.rulename::text, min(n.nspname || '.' || c.relname), count(*)
  FROM pg_catalog.pg_rewrite AS r
  JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE r.ev_class IN (SELECT unnest(%(leaves)s::bigint[])::oid) AND r.ev_type = '2' AND r.ev_enabled <> 'D'
 GROUP BY r.rulename
 ORDER BY 1;

-- name: generated_columns
-- Columns that are computed from a written one: each changed row computes them anew.
SELECT a.attname::text, array_agg(DISTINCT w.attname::text)
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
  JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = a.attrelid
   AND ((d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = f.oid)
        OR (d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = a.attrelid AND d.objsubid = a.attnum))
  JOIN pg_catalog.pg_attribute AS w ON w.attrelid = a.attrelid AND w.attnum = d.refobjsubid
 WHERE a.attrelid = %(root)s::oid AND a.attgenerated <> '' AND w.attname = ANY (%(columns)s::text[])
 GROUP BY a.attname
 ORDER BY 1;

-- name: check_constraints
-- A new text may break a CHECK over its column; such a row is refused and ends in an outcome of its own.
SELECT o.conname::text, array_agg(DISTINCT a.attname::text)
  FROM pg_catalog.pg_constraint AS o
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = o.conrelid AND a.attnum = ANY (o.conkey)
 WHERE o.conrelid IN (SELECT unnest(%(leaves)s::bigint[])::oid) AND o.contype = 'c'
   AND a.attname = ANY (%(columns)s::text[])
 GROUP BY o.conname
 ORDER BY 1;

-- name: foreign_keys
-- Foreign keys on a written column, from either side; of a partitioned table only its own, not its partitions' copies.
SELECT o.conname::text, o.conrelid::regclass::text, o.confrelid::regclass::text,
       o.conrelid IN (SELECT unnest(%(relations)s::bigint[])::oid) AND EXISTS (
           SELECT FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = o.conrelid AND a.attnum = ANY (o.conkey) AND a.attname = ANY (%(columns)s::text[])),
       o.confupdtype::text
  FROM pg_catalog.pg_constraint AS o
 WHERE o.contype = 'f' AND o.conparentid = 0
   AND (EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                 WHERE o.conrelid IN (SELECT unnest(%(relations)s::bigint[])::oid) AND a.attrelid = o.conrelid
                   AND a.attnum = ANY (o.conkey) AND a.attname = ANY (%(columns)s::text[]))
     OR EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                 WHERE o.confrelid IN (SELECT unnest(%(relations)s::bigint[])::oid) AND a.attrelid = o.confrelid
                   AND a.attnum = ANY (o.confkey) AND a.attname = ANY (%(columns)s::text[])))
 ORDER BY 1, 2;
