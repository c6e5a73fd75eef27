-- name: relations
-- A table and its partitions of every level: locks, publications and views may hang on any of them.
SELECT %(oid)s::oid::bigint
 UNION
SELECT t.relid::oid::bigint FROM pg_catalog.pg_partition_tree(%(oid)s::oid) AS t
 ORDER BY 1;
