-- name: add
-- Why a finding was not changed; one for each, for ever.
INSERT INTO cleanup.outcome (run_id, finding_number, pass, outcome, detail)
SELECT %(run_id)s, o.finding_number, %(pass)s, o.outcome, o.detail
  FROM unnest(%(numbers)s::bigint[], %(outcomes)s::text[], %(details)s::text[]) AS o(finding_number, outcome, detail);

-- name: defer
-- To the next pass: somebody holds the row.
INSERT INTO cleanup.deferral (run_id, pass, finding_number)
SELECT %(run_id)s, %(pass)s + 1, n.finding_number FROM unnest(%(numbers)s::bigint[]) AS n(finding_number);

-- name: list
-- What was left, with its place in the posts.
SELECT o.finding_number, o.outcome, o.detail, l.leaf_name, c.column_name, f.key
  FROM cleanup.outcome AS o
  JOIN cleanup.run AS r ON r.run_id = o.run_id
  JOIN cleanup.finding AS f ON f.plan_id = r.plan_id AND f.finding_number = o.finding_number
  JOIN cleanup.plan_leaf AS l ON l.plan_id = f.plan_id AND l.leaf_number = f.leaf_number
  JOIN cleanup.plan_column AS c
    ON c.plan_id = f.plan_id AND c.table_name = l.table_name AND c.column_number = f.column_number
 WHERE o.run_id = %(run_id)s AND o.outcome = ANY (%(outcomes)s::text[])
 ORDER BY o.finding_number LIMIT %(rows)s;
