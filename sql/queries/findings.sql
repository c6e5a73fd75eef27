-- name: receive
-- Findings arrive by binary COPY, in the transaction that finishes their chunk.
COPY cleanup.finding (plan_id, finding_number, leaf_number, column_number, scope, actionable, refusal, key, created_at, author,
                      value_hash, finding_hash, spans)
FROM STDIN (FORMAT BINARY);

-- name: in_digest_order
-- The one order that depends on neither lanes nor chunk boundaries: table, key as text, column; the first two as one
-- text, which is quicker to compare. Each finding is hashed here as the job hashes it, and where it is not what its own
-- hash says, comes with its place. Sent by COPY.
SELECT h.whole, CASE WHEN h.finding_hash IS DISTINCT FROM substr(h.whole, 1, 8)
                     THEN json_build_array(coalesce(h.leaf_name, '?'), coalesce(h.column_name, '?'), h.key)::text END
  FROM (SELECT sha256(convert_to(concat(
                   char_length(l.table_name), ':', l.table_name, ' ', char_length(c.column_name), ':', c.column_name, ' ',
                   f.scope, ' ', f.actionable, ' ', coalesce(f.refusal, '-'), ' ',
                   CASE WHEN f.created_at IS NULL THEN '-'
                        WHEN isfinite(f.created_at) THEN (extract(epoch FROM f.created_at) * 1000000)::bigint::text
                        ELSE f.created_at::text END, ' ',
                   coalesce(char_length(f.author) || ':' || f.author, '-'), ' ', encode(f.value_hash, 'hex'), ' ',
                   f.key, ' ', f.spans), 'UTF8')) AS whole,
               f.finding_hash, f.key, l.leaf_name, c.column_name
          FROM cleanup.finding AS f
          LEFT JOIN cleanup.plan_leaf AS l ON l.plan_id = f.plan_id AND l.leaf_number = f.leaf_number
          LEFT JOIN cleanup.plan_column AS c
            ON c.plan_id = f.plan_id AND c.table_name = l.table_name AND c.column_number = f.column_number
         WHERE f.plan_id = /*{plan_id}*/ 1 /*{/plan_id}*/
         ORDER BY concat(l.table_name, E'\x01', f.key) COLLATE "C", c.column_name COLLATE "C") AS h;

-- name: analyze
-- Before anybody reads a new plan: of a partition without statistics the server would sort all for each page.
SELECT cleanup.analyze_findings(%(plan_id)s);

-- name: page
-- A page of what a run has to do, by finding number; the range is a chunk's.
SELECT f.finding_number, f.leaf_number, f.column_number, f.scope, f.actionable, f.refusal, f.key, f.created_at, f.author,
       f.value_hash, f.finding_hash, f.spans
  FROM cleanup.finding AS f
 WHERE f.plan_id = %(plan_id)s AND f.finding_number > %(after_number)s AND f.finding_number <= %(through_number)s
   AND f.actionable
 ORDER BY f.finding_number LIMIT %(findings)s;

-- name: deferred
-- What an earlier pass put off, because somebody held the row.
SELECT f.finding_number, f.leaf_number, f.column_number, f.scope, f.actionable, f.refusal, f.key, f.created_at, f.author,
       f.value_hash, f.finding_hash, f.spans
  FROM cleanup.deferral AS d
 CROSS JOIN LATERAL (SELECT g.* FROM cleanup.finding AS g
                      WHERE g.plan_id = %(plan_id)s AND g.finding_number = d.finding_number OFFSET 0) AS f
 WHERE d.run_id = %(run_id)s AND d.pass = %(pass)s
   AND d.finding_number > %(after_number)s AND d.finding_number <= %(through_number)s
 ORDER BY d.finding_number LIMIT %(findings)s;

-- name: sample
-- A fixed sample of what is to be done, spread evenly: the first finding behind each of some numbers.
SELECT DISTINCT f.finding_number, f.leaf_number, f.column_number, f.scope, f.actionable, f.refusal, f.key, f.created_at,
       f.author, f.value_hash, f.finding_hash, f.spans
  FROM (SELECT c.chunk_number::bigint * 10000000 + s AS place
          FROM cleanup.chunk AS c
         CROSS JOIN LATERAL generate_series(0, c.findings - 1, greatest(1, %(every)s::int)) AS s
         WHERE c.plan_id = %(plan_id)s AND c.actionable > 0) AS p
 CROSS JOIN LATERAL (SELECT * FROM cleanup.finding AS g
                      WHERE g.plan_id = %(plan_id)s AND g.finding_number > p.place AND g.actionable
                      ORDER BY g.finding_number LIMIT 1) AS f
 ORDER BY f.finding_number LIMIT %(findings)s;

-- name: all
-- Every finding, for reports and reconciliation, by number.
SELECT f.finding_number, f.leaf_number, f.column_number, f.scope, f.actionable, f.refusal, f.key, f.created_at, f.author,
       f.value_hash, f.finding_hash, f.spans
  FROM cleanup.finding AS f
 WHERE f.plan_id = %(plan_id)s AND f.finding_number > %(after_number)s
 ORDER BY f.finding_number LIMIT %(findings)s;

-- name: refused
-- What the plan could not decide or could not write; no run visits it, and verify lists it.
SELECT f.finding_number, f.leaf_number, f.column_number, f.scope, f.actionable, f.refusal, f.key, f.created_at, f.author,
       f.value_hash, f.finding_hash, f.spans
  FROM cleanup.finding AS f
 WHERE f.plan_id = %(plan_id)s AND f.refusal IS NOT NULL ORDER BY f.finding_number;
