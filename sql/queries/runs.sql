-- name: create_apply
-- Consumes the approval. A second job finds the run there already: one plan has one run.
INSERT INTO cleanup.run (kind, plan_id, approval_id, planned, retention_days, code_version)
VALUES ('apply', %(plan_id)s, %(approval_id)s, %(planned)s, %(retention_days)s, %(code_version)s)
ON CONFLICT DO NOTHING
RETURNING run_id;

-- name: create_rollback
-- A second job that rolls back the same run finds this one open already.
INSERT INTO cleanup.run (kind, plan_id, source_run_id, selection, approval_id, planned, retention_days, code_version)
SELECT 'rollback', r.plan_id, r.run_id, %(selection)s, %(approval_id)s, %(planned)s, %(retention_days)s, %(code_version)s
  FROM cleanup.run AS r WHERE r.run_id = %(source_run_id)s
ON CONFLICT DO NOTHING
RETURNING run_id;

-- name: add_log
-- The run's own log partition, so that a purge drops it whole.
SELECT cleanup.add_log_partition(%(run_id)s);

-- name: lock_plan
-- A run is created by one job at a time: a second one waits here, and then finds the run that used the approval up.
SELECT cleanup.lock_plan(%(plan_id)s);

-- name: apply_of
-- The one run of a plan, whatever its state.
SELECT run_id FROM cleanup.run WHERE plan_id = %(plan_id)s AND kind = 'apply';

-- name: open_rollback_of
-- The rollback of a run that is still open: the same command goes on with it.
SELECT run_id FROM cleanup.run WHERE source_run_id = %(source_run_id)s AND kind = 'rollback' AND finished_at IS NULL;

-- name: of_plan
-- The runs of one plan: an apply, its rollbacks, and theirs. They name the links by the same numbers.
SELECT run_id FROM cleanup.run WHERE plan_id = %(plan_id)s;

-- name: get
-- One run, whole.
SELECT run_id, kind, plan_id, source_run_id, selection, approval_id, state, planned, retention_days, code_version, started_by,
       created_at, finished_at, log_head
  FROM cleanup.run WHERE run_id = %(run_id)s;

-- name: all
-- Every run, newest first, for status.
SELECT run_id, kind, plan_id, source_run_id, selection, approval_id, state, planned, retention_days, code_version, started_by,
       created_at, finished_at, log_head
  FROM cleanup.run ORDER BY run_id DESC;

-- name: resume
-- running stays running, since its lanes may have been killed, and is not written: every batch of a lane that lives
-- holds the row, and a writer could wait for them for ever.
UPDATE cleanup.run SET state = 'running' WHERE run_id = %(run_id)s AND state = 'interrupted';

-- name: settled_state
-- How a run stands once nobody is about to interrupt or close it; batches are not waited for.
SELECT state FROM cleanup.run WHERE run_id = %(run_id)s FOR SHARE;

-- name: interrupt
-- Asked to stop between batches; the checkpoint is kept. Not where the lanes of another job go on with the run.
UPDATE cleanup.run AS r SET state = 'interrupted'
 WHERE r.run_id = %(run_id)s AND r.state = 'running'
   AND NOT EXISTS (SELECT FROM cleanup.run_chunk AS c
                    WHERE c.run_id = r.run_id AND c.state = 'claimed'
                      AND cleanup.lease_is_alive(c.lease_until, c.lease_pid, c.lease_backend));

-- name: close
-- By the ledger's own function, which psql's procedures call as well.
SELECT cleanup.close_run(%(run_id)s, %(state)s);
