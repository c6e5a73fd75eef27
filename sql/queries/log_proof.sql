-- name: outcomes
-- What a run left unchanged, by finding number, to hold it against the batches' heads.
SELECT finding_number, pass, outcome, detail FROM cleanup.outcome
 WHERE run_id = %(run_id)s AND finding_number > %(after_number)s AND finding_number <= %(through_number)s
 ORDER BY finding_number LIMIT %(rows)s;

-- name: conflicts
-- The links that a rollback left as they were; they belong to the batch that settled their finding.
SELECT finding_number, link_number, reason FROM cleanup.conflict
 WHERE run_id = %(run_id)s AND (finding_number, link_number) > (%(after_number)s, %(after_link)s)
 ORDER BY finding_number, link_number LIMIT %(rows)s;

-- name: deferrals
-- What one pass put off to the next, by finding number. They are few: sorting them costs nothing.
SELECT finding_number, pass FROM cleanup.deferral
 WHERE run_id = %(run_id)s AND (finding_number, pass) > (%(after_number)s, %(after_pass)s)
   AND finding_number <= %(through_number)s
 ORDER BY finding_number, pass LIMIT %(rows)s;

-- name: planned_findings
-- What the batches of an apply run had to settle within a range.
SELECT f.finding_number, f.leaf_number, f.column_number, f.key, f.created_at, f.author FROM cleanup.finding AS f
 WHERE f.plan_id = %(plan_id)s AND f.actionable AND f.finding_number > %(after_number)s
   AND f.finding_number <= %(through_number)s
 ORDER BY f.finding_number LIMIT %(rows)s;

-- name: planned_log
-- What the batches of a rollback had to settle within a range: the selected log rows of the run that it undoes.
SELECT g.finding_number, g.leaf_number, g.column_number, g.key, g.created_at, g.author
  FROM cleanup.selected_log(%(source_run_id)s, %(selection)s) AS g
 WHERE g.finding_number > %(after_number)s AND g.finding_number <= %(through_number)s
 ORDER BY g.finding_number LIMIT %(rows)s;

-- name: chunks
-- The ranges of a run, which its batches cover without a gap in each pass.
SELECT chunk_number, after_number, through_number FROM cleanup.run_chunk
 WHERE run_id = %(run_id)s ORDER BY chunk_number;

-- name: recorded_heads
-- The heads that a run's events recorded when it ended.
SELECT DISTINCT detail ->> 'log_head' FROM cleanup.event
 WHERE run_id = %(run_id)s AND name IN ('run.finished', 'run.cancelled', 'run.drift_stopped');
