-- name: open
-- First in its transaction: whoever tries the same batch again waits here until this attempt is decided.
-- No row means that another lane has taken the chunk over, that the run is not running any more, that somebody has asked
-- something of it that the lane does not know yet, that a signal holds it, or that the batch would leave a gap: after a
-- failover to a standby that lacked commits, the ledger knows of less than the lane does.
INSERT INTO cleanup.batch (run_id, pass, after_number, through_number, chunk_number, attempt, lane, findings, retries)
SELECT c.run_id, c.pass, %(after_number)s, %(through_number)s, c.chunk_number, c.attempt, %(lane)s, %(findings)s, %(retries)s::jsonb
  FROM cleanup.run_chunk AS c
  JOIN cleanup.run AS r ON r.run_id = c.run_id AND r.state = 'running'
 WHERE c.run_id = %(run_id)s AND c.chunk_number = %(chunk_number)s AND c.attempt = %(attempt)s AND c.state = 'claimed'
   AND c.pass = %(pass)s
   AND coalesce((SELECT k.revision FROM cleanup.control AS k WHERE k.run_id = c.run_id), 0) = %(revision)s
   AND cleanup.may_write(c.run_id)
   AND coalesce((SELECT b.through_number FROM cleanup.batch AS b
                  WHERE b.run_id = c.run_id AND b.pass = c.pass
                    AND b.after_number >= c.after_number AND b.after_number < %(after_number)s
                  ORDER BY b.after_number DESC LIMIT 1), c.after_number) = %(after_number)s
   FOR SHARE OF r, c
RETURNING after_number;

-- name: settle
-- What the batch came to, in its own transaction: this row is the checkpoint.
UPDATE cleanup.batch
   SET outcomes = %(outcomes)s, span_outcomes = %(span_outcomes)s, edited = %(edited)s, log_rows = %(log_rows)s, head = %(head)s,
       lock_ms = extract(epoch FROM clock_timestamp() - now()) * 1000
 WHERE run_id = %(run_id)s AND pass = %(pass)s AND after_number = %(after_number)s;

-- name: checkpoint
-- How far a pass over a chunk has come.
SELECT coalesce(max(b.through_number), %(after_number)s) FROM cleanup.batch AS b
 WHERE b.run_id = %(run_id)s AND b.pass = %(pass)s
   AND b.after_number >= %(after_number)s AND b.after_number < %(through_number)s;

-- name: rows
-- The batches in order, for the head of the run and for its proof.
SELECT run_id, pass, after_number, through_number, chunk_number, attempt, lane, findings, outcomes, span_outcomes, edited,
       log_rows, head, written_at, float4send(lock_ms), retries::text
  FROM cleanup.batch WHERE run_id = %(run_id)s ORDER BY pass, after_number;

-- name: totals
-- What a run has come to so far, from its batches alone.
SELECT count(*)::bigint, coalesce(sum(findings), 0)::bigint, coalesce(sum(edited), 0)::bigint,
       coalesce(sum(log_rows), 0)::bigint, coalesce(max(lock_ms), 0)::float8,
       min(written_at), max(written_at)
  FROM cleanup.batch WHERE run_id = %(run_id)s;

-- name: outcome_counts
-- Findings and spans by outcome. What an applied plan keeps or leaves to a person, no batch visits: the plan says it.
SELECT k.outcome, sum(k.findings)::bigint, sum(k.spans)::bigint
  FROM (SELECT o.key AS outcome, o.value::bigint AS findings, 0::bigint AS spans
          FROM cleanup.batch AS b CROSS JOIN LATERAL jsonb_each_text(b.outcomes) AS o
         WHERE b.run_id = %(run_id)s
        UNION ALL
        SELECT s.key, 0, s.value::bigint
          FROM cleanup.batch AS b CROSS JOIN LATERAL jsonb_each_text(b.span_outcomes) AS s
         WHERE b.run_id = %(run_id)s
        UNION ALL
        SELECT CASE p.span ->> 4 WHEN 'keep' THEN 'kept' ELSE 'awaiting_review' END, 0, (p.span ->> 6)::bigint
          FROM cleanup.run AS r JOIN cleanup.chunk AS c ON c.plan_id = r.plan_id
         CROSS JOIN LATERAL jsonb_array_elements(c.counts -> 'spans') AS p(span)
         WHERE r.run_id = %(run_id)s AND r.kind = 'apply'
           AND p.span ->> 0 = 'historical' AND p.span ->> 4 IN ('keep', 'review')) AS k
 GROUP BY k.outcome ORDER BY k.outcome;
