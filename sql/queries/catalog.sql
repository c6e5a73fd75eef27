-- name: table
-- What a configured name stands for: its kind and its row estimate; the name is looked up, never interpolated.
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = %(schema)s AND c.relname = %(name)s;

-- name: leaves
-- The tables that hold rows: the table itself or its partitions, in the order of their bounds' names.
SELECT c.oid::bigint, n.nspname, c.relname, greatest(c.reltuples, 0)::bigint, c.relkind::text
  FROM (SELECT %(oid)s::oid AS relid, true AS isleaf
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_partitioned_table WHERE partrelid = %(oid)s::oid)
        UNION ALL
        SELECT t.relid, t.isleaf FROM pg_catalog.pg_partition_tree(%(oid)s::oid) AS t
         WHERE t.isleaf AND EXISTS (SELECT FROM pg_catalog.pg_partitioned_table WHERE partrelid = %(oid)s::oid)) AS l
  JOIN pg_catalog.pg_class AS c ON c.oid = l.relid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C";

-- name: heirs
-- Tables that inherit from a plain table: their rows appear in it without being its own.
SELECT i.inhrelid::regclass::text FROM pg_catalog.pg_inherits AS i
 WHERE i.inhparent = %(oid)s::oid
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_partitioned_table WHERE partrelid = %(oid)s::oid)
 ORDER BY 1;

-- name: columns
-- Each column with what decides whether its text can be changed safely.
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), t.typname, bt.typname,
       coalesce(bt.typnamespace, t.typnamespace) = 'pg_catalog'::regnamespace OR coalesce(bt.typtype, t.typtype) = 'e',
       t.typtype = 'd', a.attnotnull, a.attgenerated <> '' OR a.attidentity = 'a',
       CASE WHEN t.typname = 'varchar' AND a.atttypmod >= 4 THEN a.atttypmod - 4 END
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_type AS bt ON bt.oid = t.typbasetype
 WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum;

-- name: keys
-- Unique, immediate, whole-table keys without expressions, in index order; the primary key first.
SELECT i.indisprimary, array_agg(a.attname::text ORDER BY k.place), bool_and(a.attnotnull)
  FROM pg_catalog.pg_index AS i
 CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
 WHERE i.indrelid = %(oid)s::oid AND i.indisunique AND i.indimmediate AND i.indisvalid
   AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
 GROUP BY i.indexrelid, i.indisprimary
 ORDER BY i.indisprimary DESC, i.indexrelid;

-- name: fingerprint
-- Everything about a table that the plan relied on; compared again under the batch's lock.
SELECT jsonb_build_object(
    -- Another table under the same name is not the one that was scanned, however alike it is.
    'oid', c.oid::bigint,
    'columns', (SELECT jsonb_object_agg(a.attname, jsonb_build_array(
                           pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated::text, l.collname))
                  FROM pg_catalog.pg_attribute AS a
                  LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'key_collation_versions', (SELECT jsonb_object_agg(a.attname, coalesce(CASE WHEN l.collprovider = 'd'
                           THEN (SELECT pg_catalog.pg_database_collation_actual_version(d.oid)
                                   FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
                           ELSE pg_catalog.pg_collation_actual_version(l.oid) END, ''))
                  FROM pg_catalog.pg_attribute AS a
                  JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
                 WHERE a.attrelid = c.oid AND a.attname = ANY (%(key)s::text[])),
    'triggers', (SELECT jsonb_object_agg(t.tgname, jsonb_build_array(pg_catalog.pg_get_triggerdef(t.oid), t.tgenabled::text))
                  FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal),
    'constraints', (SELECT jsonb_object_agg(o.conname, pg_catalog.pg_get_constraintdef(o.oid))
                  FROM pg_catalog.pg_constraint AS o WHERE o.conrelid = c.oid AND o.contype IN ('c', 'p', 'u', 'x')),
    'row_security', c.relrowsecurity)
  FROM pg_catalog.pg_class AS c
 WHERE c.oid = %(oid)s::oid;

-- name: key_collation_versions
-- The fingerprint's part that can change under a scan, and the only one that waits for no lock on the table.
SELECT jsonb_object_agg(a.attname, coalesce(CASE WHEN l.collprovider = 'd'
           THEN (SELECT pg_catalog.pg_database_collation_actual_version(d.oid)
                   FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
           ELSE pg_catalog.pg_collation_actual_version(l.oid) END, ''))
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
 WHERE a.attrelid = %(oid)s::oid AND a.attname = ANY (%(key)s::text[]);

-- name: database_identity
-- Which database this is; a plan made elsewhere is refused.
SELECT s.system_identifier::text, d.oid::bigint, d.datname::text,
       current_setting('server_version_num')::int
  FROM pg_catalog.pg_control_system() AS s, pg_catalog.pg_database AS d
 WHERE d.datname = current_database();

-- name: functions
-- Whether each function of a predicate is one of pg_catalog's, and for so many arguments only plain and immutable:
-- no aggregate, no window function, none that returns a set.
SELECT c.name, bool_and(p.provolatile = 'i' AND p.prokind = 'f' AND NOT p.proretset)
  FROM unnest(%(names)s::text[], %(arguments)s::int[]) AS c(name, arguments)
  JOIN pg_catalog.pg_proc AS p
    ON p.proname = c.name AND p.pronamespace = 'pg_catalog'::regnamespace
   AND c.arguments >= p.pronargs - p.pronargdefaults - (p.provariadic <> 0)::int
   AND (c.arguments <= p.pronargs OR p.provariadic <> 0)
 GROUP BY c.name;

-- name: predicate
-- The server's own word on a predicate: it must be one boolean over this table's columns. Reads no row.
SELECT FROM ONLY /*{table}*/ cleanup.example /*{/table}*/ AS t WHERE /*{predicate}*/ (body IS NULL) /*{/predicate}*/ LIMIT 0;

-- name: look_up
-- The server's own word on a look-up in another table: the two columns must be comparable. Reads no row.
SELECT FROM ONLY /*{table}*/ cleanup.example /*{/table}*/ AS t
  JOIN /*{other}*/ cleanup.example /*{/other}*/ AS l ON /*{match}*/ l.id = t.id /*{/match}*/ LIMIT 0;

-- name: time_zone
-- Raises an error where the server does not know the zone.
SELECT timestamp '2000-01-01' AT TIME ZONE %(zone)s;

-- name: publications
-- A FOR ALL TABLES publication would carry the ledger, and with it the removed links, to its subscribers.
SELECT pubname::text FROM pg_catalog.pg_publication WHERE puballtables ORDER BY pubname;
