-- name: set_up
-- What a batch needs to be opened: an approval, a run and a claimed chunk, all numbered 0, and gone with the rollback. No
-- identity is asked for a number, since those do not come back.
SELECT cleanup.set_up_rehearsal(%(plan_id)s, %(chunk_number)s, %(leaf_number)s, %(after_number)s, %(through_number)s, %(attempt)s);

-- name: wal
-- How far the server's log has come, whoever wrote it.
SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint;

-- name: measure
-- What the batch took, right before its rollback.
SELECT (extract(epoch FROM clock_timestamp() - now()) * 1000)::float8, (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint;

-- name: chunks
-- The plan's chunks that have something to do, as a run would take them.
SELECT c.chunk_number, c.leaf_number, c.chunk_number::bigint * 10000000, c.chunk_number::bigint * 10000000 + c.findings, 0, 1
  FROM cleanup.chunk AS c WHERE c.plan_id = %(plan_id)s AND c.actionable > 0 ORDER BY c.chunk_number;
