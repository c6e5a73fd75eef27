-- What has become of the values and links of each run? psql -v run=1 -f outcomes.sql, or without -v for all runs.
\if :{?run} \else \set run '' \endif
SELECT k.run_id AS run, k.outcome, pg_catalog.sum(k.findings)::bigint AS "values", pg_catalog.sum(k.links)::bigint AS links
  FROM (SELECT b.run_id, o.key AS outcome, o.value::bigint AS findings, 0::bigint AS links
          FROM cleanup.batch AS b CROSS JOIN LATERAL pg_catalog.jsonb_each_text(b.outcomes) AS o
        UNION ALL
        SELECT b.run_id, s.key, 0, s.value::bigint
          FROM cleanup.batch AS b CROSS JOIN LATERAL pg_catalog.jsonb_each_text(b.span_outcomes) AS s
        UNION ALL
        -- What the plan keeps or leaves to a person, no batch visits.
        SELECT r.run_id, CASE p.span ->> 4 WHEN 'keep' THEN 'kept' ELSE 'awaiting_review' END, 0, (p.span ->> 6)::bigint
          FROM cleanup.run AS r JOIN cleanup.chunk AS c ON c.plan_id = r.plan_id
         CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(c.counts -> 'spans') AS p(span)
         WHERE r.kind = 'apply' AND p.span ->> 0 = 'historical' AND p.span ->> 4 IN ('keep', 'review')) AS k
 WHERE :'run' IN ('', k.run_id::text)
 GROUP BY k.run_id, k.outcome
 ORDER BY k.run_id DESC, k.outcome;
