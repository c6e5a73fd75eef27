-- name: awaiting
-- Findings with a span that the policy leaves to a person, by number.
SELECT f.finding_number, f.leaf_number, f.column_number, f.scope, f.actionable, f.refusal, f.key, f.created_at, f.author,
       f.value_hash, f.finding_hash, f.spans
  FROM cleanup.finding AS f
 WHERE f.plan_id = %(plan_id)s AND f.finding_number > %(after_number)s AND f.scope = 'historical'
   AND EXISTS (SELECT FROM jsonb_array_elements(f.spans::jsonb) AS s(span)
                WHERE s.span -> 4 = (SELECT to_jsonb(array_position(p.words, 'review') - 1)
                                       FROM cleanup.plan AS p WHERE p.plan_id = %(plan_id)s))
 ORDER BY f.finding_number LIMIT %(findings)s;

-- name: of_file
-- The plan that this very file has made already: the same command after a lost answer makes no second one.
SELECT plan_id FROM cleanup.review WHERE reviewed_plan_id = %(reviewed_plan_id)s AND file_sha256 = %(file_sha256)s;

-- name: derive_plan
-- The reviewed plan once more, under a new number. Its posts were read when the first one read them: so the sweep starts
-- there, too.
SELECT cleanup.derive_plan(%(reviewed_plan_id)s);

-- name: copy_leaves
-- The same leaves, with the fingerprints of then.
INSERT INTO cleanup.plan_leaf (plan_id, leaf_number, table_name, leaf_name, fingerprint, row_estimate)
SELECT %(plan_id)s, leaf_number, table_name, leaf_name, fingerprint, row_estimate
  FROM cleanup.plan_leaf WHERE plan_id = %(reviewed_plan_id)s;

-- name: copy_columns
-- The same columns.
INSERT INTO cleanup.plan_column (plan_id, table_name, column_number, column_name, format)
SELECT %(plan_id)s, table_name, column_number, column_name, format
  FROM cleanup.plan_column WHERE plan_id = %(reviewed_plan_id)s;

-- name: copy_chunks
-- The same chunks, so that findings keep their numbers; those with decisions are counted anew.
INSERT INTO cleanup.chunk (plan_id, chunk_number, leaf_number, after_key, through_key, state, attempt, lease_until, lease_pid,
                           lease_backend, findings, actionable, counts, finished_at)
SELECT %(plan_id)s, chunk_number, leaf_number, after_key, through_key, state, attempt, lease_until, lease_pid,
       lease_backend, findings, actionable, counts, finished_at
  FROM cleanup.chunk WHERE plan_id = %(reviewed_plan_id)s;

-- name: copy_findings
-- Every finding that nobody has decided anything of; the others are sent by COPY.
INSERT INTO cleanup.finding (plan_id, finding_number, leaf_number, column_number, scope, actionable, refusal, key, created_at,
                             author, value_hash, finding_hash, spans)
SELECT %(plan_id)s, f.finding_number, f.leaf_number, f.column_number, f.scope, f.actionable, f.refusal, f.key, f.created_at,
       f.author, f.value_hash, f.finding_hash, f.spans
  FROM cleanup.finding AS f
 WHERE f.plan_id = %(reviewed_plan_id)s AND f.finding_number <> ALL (%(decided)s::bigint[]);

-- name: chunk_counts
-- What a copied chunk counted before anything was decided.
SELECT actionable, counts FROM cleanup.chunk WHERE plan_id = %(plan_id)s AND chunk_number = %(chunk_number)s;

-- name: recount
-- What a copied chunk comes to with the decisions.
UPDATE cleanup.chunk SET actionable = %(actionable)s, counts = %(counts)s
 WHERE plan_id = %(plan_id)s AND chunk_number = %(chunk_number)s;

-- name: add
-- Who decided, as which role of the session, and in which file.
INSERT INTO cleanup.review (plan_id, reviewed_plan_id, reviewer, file_sha256)
VALUES (%(plan_id)s, %(reviewed_plan_id)s, %(reviewer)s, %(file_sha256)s);

-- name: add_decisions
-- Which span was decided how, and by which line of the file.
INSERT INTO cleanup.review_decision (plan_id, finding_number, span_number, decision, file_line)
SELECT %(plan_id)s, d.finding_number, d.span_number, d.decision, d.file_line
  FROM unnest(%(finding_numbers)s::bigint[], %(span_numbers)s::int[], %(decisions)s::text[], %(file_lines)s::int[])
       AS d(finding_number, span_number, decision, file_line);
