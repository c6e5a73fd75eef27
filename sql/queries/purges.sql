-- name: purge
-- All or nothing, and judged by the function itself: it raises an error where the run may not be purged.
SELECT p.purge_id, p.run_id, p.log_rows, p.log_head, p.findings, p.retain_until, p.forced, p.reason, p.purged_at, p.purged_by
  FROM cleanup.purge_run(%(run_id)s, %(reason)s) AS p;

-- name: purge_plan
-- The same for the findings of a plan that nobody has applied.
SELECT cleanup.purge_plan(%(plan_id)s, %(reason)s);

-- name: in_force
-- The purge that took a run's log away, unless it came back since.
SELECT p.purge_id, p.run_id, p.log_rows, p.log_head, p.findings, p.retain_until, p.forced, p.reason, p.purged_at, p.purged_by
  FROM cleanup.purge_in_force(%(run_id)s) AS p;

-- name: findings_are_there
-- A plan's findings go with the last of its logs, and do not come back with one.
SELECT to_regclass(format('cleanup.finding_%%s', %(plan_id)s::bigint)) IS NOT NULL;
