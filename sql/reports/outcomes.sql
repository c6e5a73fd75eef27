-- What has become of the values and links of each run? psql -v run=1 -f outcomes.sql, or without -v for all runs.
\if :{?run} \else \set run '' \endif
SELECT b.run_id AS run, k.outcome, pg_catalog.sum(k.findings)::bigint AS "values", pg_catalog.sum(k.links)::bigint AS links
  FROM cleanup.batch AS b
 CROSS JOIN LATERAL (
        SELECT o.key AS outcome, o.value::bigint AS findings, 0::bigint AS links FROM pg_catalog.jsonb_each_text(b.outcomes) AS o
        UNION ALL
        SELECT s.key, 0, s.value::bigint FROM pg_catalog.jsonb_each_text(b.span_outcomes) AS s) AS k
 WHERE :'run' IN ('', b.run_id::text)
 GROUP BY b.run_id, k.outcome
 ORDER BY b.run_id DESC, k.outcome;
