-- Which values did each run leave, why, and where do they stand? psql -v run=1 -f left.sql, or without -v for all runs.
-- Keys only, never a post's text. Outcomes that leave nothing to do are in outcomes.sql.
\if :{?run} \else \set run '' \endif
SELECT o.run_id AS run, o.outcome, l.leaf_name AS "table", n.column_name AS "column", p.key,
       coalesce(o.detail, c.reasons) AS reason
  FROM (SELECT u.run_id, u.finding_number, u.outcome, u.detail FROM cleanup.outcome AS u
         WHERE u.outcome NOT IN ('already_clean', 'already_restored', 'row_gone', 'exempt_now', 'out_of_scope_now')
        UNION ALL
        SELECT g.run_id, g.finding_number, g.outcome, NULL FROM cleanup.change_log AS g
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
        SELECT pg_catalog.string_agg(DISTINCT k.reason, ', ' ORDER BY k.reason) AS reasons
          FROM cleanup.conflict AS k WHERE k.run_id = o.run_id AND k.finding_number = o.finding_number) AS c ON true
 WHERE :'run' IN ('', o.run_id::text)
 ORDER BY o.run_id DESC, o.outcome, o.finding_number;
