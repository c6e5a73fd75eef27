-- How many bytes does each run take in the ledger? psql -v run=1 -f log_volume.sql, or without -v for all runs.
-- Findings belong to the plan, and are counted at each of its runs; batches and outcomes are estimated by their share of rows.
\if :{?run} \else \set run '' \endif
SELECT r.run_id AS run, r.plan_id AS plan, r.state,
       pg_catalog.pg_total_relation_size(pg_catalog.to_regclass('cleanup.change_log_' || r.run_id)) AS log_bytes,
       pg_catalog.pg_total_relation_size(pg_catalog.to_regclass('cleanup.finding_' || r.plan_id)) AS finding_bytes,
       s.batches,
       (pg_catalog.pg_total_relation_size('cleanup.batch') * s.batches / nullif(a.batches, 0))::bigint AS batch_bytes,
       s.outcomes,
       (pg_catalog.pg_total_relation_size('cleanup.outcome') * s.outcomes / nullif(a.outcomes, 0))::bigint AS outcome_bytes,
       r.finished_at + pg_catalog.make_interval(days => r.retention_days) AS log_kept_until,
       (SELECT max(p.purged_at) FROM cleanup.purge_in_force(r.run_id) AS p) AS log_purged_at
  FROM cleanup.run AS r
 CROSS JOIN LATERAL (
        SELECT (SELECT pg_catalog.count(*) FROM cleanup.batch AS b WHERE b.run_id = r.run_id) AS batches,
               (SELECT pg_catalog.count(*) FROM cleanup.outcome AS o WHERE o.run_id = r.run_id) AS outcomes) AS s
 CROSS JOIN (SELECT (SELECT pg_catalog.count(*) FROM cleanup.batch) AS batches,
                    (SELECT pg_catalog.count(*) FROM cleanup.outcome) AS outcomes) AS a
 WHERE :'run' IN ('', r.run_id::text)
 ORDER BY r.run_id DESC;
