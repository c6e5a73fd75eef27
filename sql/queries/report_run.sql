-- name: conflicts
-- Links that a rollback could not put back, by reason.
SELECT reason, count(*)::bigint FROM cleanup.conflict WHERE run_id = %(run_id)s GROUP BY 1 ORDER BY 1;

-- name: events
-- What happened to a run, as far as the ledger says: who asked for what, when it stood still, and why.
SELECT at, name, by_role, detail::text FROM cleanup.event WHERE run_id = %(run_id)s ORDER BY event_id LIMIT %(rows)s;

-- name: passes
-- Batches and values by pass: what later passes did, others had held in the earlier ones.
SELECT pass, count(*)::bigint, coalesce(sum(findings), 0)::bigint, coalesce(sum(log_rows), 0)::bigint,
       coalesce(sum(edited), 0)::bigint, round(coalesce(avg(lock_ms), 0))::bigint, round(coalesce(max(lock_ms), 0))::bigint
  FROM cleanup.batch WHERE run_id = %(run_id)s GROUP BY 1 ORDER BY 1;

-- name: tables
-- What was planned in each table, and what was written there. A purged log has no rows left to count.
SELECT l.table_name, sum(c.actionable)::bigint,
       (SELECT count(*)::bigint FROM cleanup.change_log AS g
          JOIN cleanup.plan_leaf AS m ON m.plan_id = l.plan_id AND m.leaf_number = g.leaf_number
         WHERE g.run_id = %(run_id)s AND m.table_name = l.table_name)
  FROM cleanup.plan_leaf AS l
  JOIN cleanup.run AS r ON r.plan_id = l.plan_id AND r.run_id = %(run_id)s
  LEFT JOIN cleanup.chunk AS c ON c.plan_id = l.plan_id AND c.leaf_number = l.leaf_number
 GROUP BY l.plan_id, l.table_name ORDER BY l.table_name;
