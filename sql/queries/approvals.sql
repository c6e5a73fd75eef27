-- name: approve
-- session_user, not current_user: SET ROLE does not change who signed.
INSERT INTO cleanup.approval (plan_id, source_run_id, selection, digest, approver, ticket, expires_at)
VALUES (%(plan_id)s, %(source_run_id)s, %(selection)s, %(digest)s, %(approver)s, %(ticket)s, clock_timestamp() + make_interval(hours => %(expires_after_hours)s))
RETURNING approval_id, plan_id, digest, approver, ticket, approved_by, approved_at, expires_at;

-- name: newest
-- The approval that counts: the newest one that nobody revoked and no run has used. A rollback's names its run and
-- which part of it.
SELECT a.approval_id, a.plan_id, a.digest, a.approver, a.ticket, a.approved_by, a.approved_at, a.expires_at
  FROM cleanup.approval AS a
 WHERE a.plan_id = %(plan_id)s AND a.revoked_at IS NULL
   AND a.source_run_id IS NOT DISTINCT FROM %(source_run_id)s::bigint AND a.selection IS NOT DISTINCT FROM %(selection)s::jsonb
   AND NOT EXISTS (SELECT FROM cleanup.run AS r WHERE r.approval_id = a.approval_id)
 ORDER BY a.approval_id DESC LIMIT 1;

-- name: of_plan
-- Every approval of a plan, used or not, for reports.
SELECT a.approval_id, a.plan_id, a.digest, a.approver, a.ticket, a.approved_by, a.approved_at, a.expires_at
  FROM cleanup.approval AS a WHERE a.plan_id = %(plan_id)s AND a.source_run_id IS NULL ORDER BY a.approval_id;
