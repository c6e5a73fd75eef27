-- name: set_up
-- What a batch needs to be opened: an approval, a run and a claimed chunk, all numbered 0, and gone with the rollback. No
-- identity is asked for a number, since those do not come back.
WITH signed AS (
    INSERT INTO cleanup.approval (approval_id, plan_id, digest, approver, ticket, expires_at) OVERRIDING SYSTEM VALUE
    VALUES (0, %(plan_id)s, '', 'rehearsal', 'rehearsal', 'infinity')
    RETURNING approval_id, plan_id),
started AS (
    INSERT INTO cleanup.run (run_id, kind, plan_id, approval_id, planned, retention_days, code_version) OVERRIDING SYSTEM VALUE
    SELECT 0, 'apply', s.plan_id, s.approval_id, 0, 0, 'rehearsal' FROM signed AS s
    RETURNING run_id)
INSERT INTO cleanup.run_chunk (run_id, chunk_number, leaf_number, after_number, through_number, state, attempt, lease_until,
                               lease_pid, lease_backend)
SELECT r.run_id, %(chunk_number)s, %(leaf_number)s, %(after_number)s, %(through_number)s, 'claimed', %(attempt)s,
       'infinity', pg_backend_pid(), clock_timestamp()
  FROM started AS r;

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
