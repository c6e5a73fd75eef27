-- name: add
-- Why a finding was not changed; one for each, for ever.
INSERT INTO cleanup.outcome (run_id, finding_number, pass, outcome, detail)
SELECT %(run_id)s, o.finding_number, %(pass)s, o.outcome, o.detail
  FROM unnest(%(numbers)s::bigint[], %(outcomes)s::text[], %(details)s::text[]) AS o(finding_number, outcome, detail);

-- name: defer
-- To the next pass: somebody holds the row.
INSERT INTO cleanup.deferral (run_id, pass, finding_number)
SELECT %(run_id)s, %(pass)s + 1, n.finding_number FROM unnest(%(numbers)s::bigint[]) AS n(finding_number);

-- name: conflict
-- Which links of a value a rollback could not put back.
INSERT INTO cleanup.conflict (run_id, finding_number, link_number, reason)
SELECT %(run_id)s, c.finding_number, c.link_number, c.reason
  FROM unnest(%(numbers)s::bigint[], %(link_numbers)s::smallint[], %(reasons)s::text[]) AS c(finding_number, link_number, reason);

-- name: list
-- What was left, with its place in the posts: from its finding, or from the log that a rollback undoes. Where both were
-- purged, it is left all the same. A value that was restored in part has a link in conflict: so the log is not read
-- from end to end.
SELECT o.finding_number, o.outcome, coalesce(o.detail, c.detail), coalesce(l.leaf_name, '(purged)'),
       coalesce(n.column_name, '(purged)'), coalesce(p.key, '[]')
  FROM (SELECT u.run_id, u.finding_number, u.outcome, u.detail FROM cleanup.outcome AS u WHERE u.run_id = %(run_id)s
        UNION ALL
        SELECT g.run_id, g.finding_number, g.outcome, NULL
          FROM (SELECT DISTINCT k.finding_number FROM cleanup.conflict AS k WHERE k.run_id = %(run_id)s) AS k
         CROSS JOIN LATERAL (SELECT h.run_id, h.finding_number, h.outcome FROM cleanup.change_log AS h
                              WHERE h.run_id = %(run_id)s AND h.finding_number = k.finding_number OFFSET 0) AS g
         WHERE g.outcome = 'restored_in_part') AS o
  JOIN cleanup.run AS r ON r.run_id = o.run_id
  LEFT JOIN LATERAL (
        SELECT f.leaf_number, f.column_number, f.key FROM cleanup.finding AS f
         WHERE f.plan_id = r.plan_id AND f.finding_number = o.finding_number
        UNION ALL
        SELECT s.leaf_number, s.column_number, s.key FROM cleanup.change_log AS s
         WHERE s.run_id = r.source_run_id AND s.finding_number = o.finding_number LIMIT 1) AS p ON true
  LEFT JOIN cleanup.plan_leaf AS l ON l.plan_id = r.plan_id AND l.leaf_number = p.leaf_number
  LEFT JOIN cleanup.plan_column AS n
    ON n.plan_id = r.plan_id AND n.table_name = l.table_name AND n.column_number = p.column_number
  LEFT JOIN LATERAL (
        SELECT string_agg(format('link %%s: %%s', k.link_number + 1, k.reason), ', ' ORDER BY k.link_number) AS detail
          FROM cleanup.conflict AS k WHERE k.run_id = o.run_id AND k.finding_number = o.finding_number) AS c ON true
 WHERE o.outcome = ANY (%(outcomes)s::text[])
 ORDER BY o.finding_number LIMIT %(rows)s;
