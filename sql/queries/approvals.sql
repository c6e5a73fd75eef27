-- name: approve
-- session_user, not current_user: SET ROLE does not change who signed.
INSERT INTO cleanup.approval (plan_id, source_run_id, selection, digest, approver, ticket, expires_at)
VALUES (%(plan_id)s, %(source_run_id)s, %(selection)s, %(digest)s, %(approver)s, %(ticket)s, clock_timestamp() + make_interval(hours => %(expires_after_hours)s))
RETURNING approval_id, plan_id, digest, approver, ticket, approved_by, approved_at, expires_at, revoked_at, revoker, revoked_for;

-- name: newest
-- The approval that counts: the newest one that nobody revoked and no run has used. A rollback's names its run and
-- which part of it.
SELECT a.approval_id, a.plan_id, a.digest, a.approver, a.ticket, a.approved_by, a.approved_at, a.expires_at, a.revoked_at,
       a.revoker, a.revoked_for
  FROM cleanup.approval AS a
 WHERE a.plan_id = %(plan_id)s AND a.revoked_at IS NULL
   AND a.source_run_id IS NOT DISTINCT FROM %(source_run_id)s::bigint AND a.selection IS NOT DISTINCT FROM %(selection)s::jsonb
   AND NOT EXISTS (SELECT FROM cleanup.run AS r WHERE r.approval_id = a.approval_id)
 ORDER BY a.approval_id DESC LIMIT 1;

-- name: of_plan
-- Every approval of a plan, used or not, for reports.
SELECT a.approval_id, a.plan_id, a.digest, a.approver, a.ticket, a.approved_by, a.approved_at, a.expires_at, a.revoked_at,
       a.revoker, a.revoked_for
  FROM cleanup.approval AS a WHERE a.plan_id = %(plan_id)s AND a.source_run_id IS NULL ORDER BY a.approval_id;

-- name: revoke
-- Every one that no run has used: were only the newest revoked, an older one would count again.
UPDATE cleanup.approval AS a
   SET revoked_at = clock_timestamp(), revoked_by = session_user, revoker = %(revoker)s, revoked_for = %(reason)s
 WHERE a.plan_id = %(plan_id)s AND a.revoked_at IS NULL
   AND a.source_run_id IS NOT DISTINCT FROM %(source_run_id)s::bigint AND a.selection IS NOT DISTINCT FROM %(selection)s::jsonb
   AND NOT EXISTS (SELECT FROM cleanup.run AS r WHERE r.approval_id = a.approval_id)
RETURNING a.approval_id, a.plan_id, a.digest, a.approver, a.ticket, a.approved_by, a.approved_at, a.expires_at, a.revoked_at,
          a.revoker, a.revoked_for;

-- name: session_role
-- Four eyes are judged on the role of the session, whatever name somebody types beside it.
SELECT session_user::text;

-- name: makers
-- Whose work a plan is: who planned it, and who decided the reviews of it and of the plans that it stands on.
WITH RECURSIVE made AS (
    SELECT %(plan_id)s::bigint AS plan_id
    UNION ALL
    SELECT v.reviewed_plan_id FROM cleanup.review AS v JOIN made AS m ON m.plan_id = v.plan_id)
SELECT p.planned_by FROM cleanup.plan AS p JOIN made AS m ON m.plan_id = p.plan_id
UNION
SELECT v.decided_as FROM cleanup.review AS v JOIN made AS m ON m.plan_id = v.plan_id;
