-- name: newest_plan
-- The newest whole plan that is finished and was made by this policy and config.
SELECT max(plan_id) FROM cleanup.plan
 WHERE state = 'finished' AND base_plan_id IS NULL AND policy_digest = %(policy_digest)s AND settings = %(settings)s;

-- name: planned
-- How many findings of a plan a run would write, table by table.
SELECT l.table_name, coalesce(sum(c.actionable), 0)::bigint
  FROM cleanup.plan_leaf AS l
  LEFT JOIN cleanup.chunk AS c ON c.plan_id = l.plan_id AND c.leaf_number = l.leaf_number
 WHERE l.plan_id = %(plan_id)s
 GROUP BY l.table_name;
