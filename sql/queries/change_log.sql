-- name: add
-- In the transaction of the change itself; where the row stands is taken from its finding. One look-up a row:
-- the planner knows nothing of a new partition, and would rather read all of it for each row.
INSERT INTO cleanup.change_log (run_id, finding_number, pass, leaf_number, column_number, outcome, key, created_at,
                                author, hash_before, hash_after, salt, edits, chain, logged_at)
SELECT %(run_id)s, f.finding_number, %(pass)s, f.leaf_number, f.column_number, e.outcome, f.key, f.created_at,
       f.author, e.hash_before, e.hash_after, e.salt, e.edits, e.chain, %(logged_at)s::timestamptz
  FROM unnest(%(numbers)s::bigint[], %(outcomes)s::text[], %(hashes_before)s::bytea[],
              %(hashes_after)s::bytea[], %(salts)s::bytea[], %(edits)s::text[], %(chains)s::bytea[])
       AS e(finding_number, outcome, hash_before, hash_after, salt, edits, chain)
 CROSS JOIN LATERAL (SELECT g.* FROM cleanup.finding AS g
                      WHERE g.plan_id = %(plan_id)s AND g.finding_number = e.finding_number OFFSET 0) AS f;

-- name: add_from_log
-- A rollback's rows: where each stands is taken from the log of the run that it undoes, which outlives the findings.
INSERT INTO cleanup.change_log (run_id, finding_number, pass, leaf_number, column_number, outcome, key, created_at,
                                author, hash_before, hash_after, salt, edits, chain, logged_at)
SELECT %(run_id)s, f.finding_number, %(pass)s, f.leaf_number, f.column_number, e.outcome, f.key, f.created_at,
       f.author, e.hash_before, e.hash_after, e.salt, e.edits, e.chain, %(logged_at)s::timestamptz
  FROM unnest(%(numbers)s::bigint[], %(outcomes)s::text[], %(hashes_before)s::bytea[],
              %(hashes_after)s::bytea[], %(salts)s::bytea[], %(edits)s::text[], %(chains)s::bytea[])
       AS e(finding_number, outcome, hash_before, hash_after, salt, edits, chain)
 CROSS JOIN LATERAL (SELECT g.* FROM cleanup.change_log AS g
                      WHERE g.run_id = %(source_run_id)s AND g.finding_number = e.finding_number OFFSET 0) AS f;

-- name: page
-- A run's log by finding number.
SELECT run_id, finding_number, pass, leaf_number, column_number, outcome, key, created_at, author, hash_before,
       hash_after, salt, edits, chain, logged_at
  FROM cleanup.change_log
 WHERE run_id = %(run_id)s AND finding_number > %(after_number)s AND finding_number <= %(through_number)s
 ORDER BY finding_number LIMIT %(rows)s;

-- name: deferred
-- The log rows whose posts somebody held when an earlier pass of a rollback came by.
SELECT g.run_id, g.finding_number, g.pass, g.leaf_number, g.column_number, g.outcome, g.key, g.created_at, g.author,
       g.hash_before, g.hash_after, g.salt, g.edits, g.chain, g.logged_at
  FROM cleanup.deferral AS d
  JOIN cleanup.change_log AS g ON g.run_id = %(source_run_id)s AND g.finding_number = d.finding_number
 WHERE d.run_id = %(run_id)s AND d.pass = %(pass)s
   AND d.finding_number > %(after_number)s AND d.finding_number <= %(through_number)s
 ORDER BY d.finding_number LIMIT %(rows)s;

-- name: selected
-- The part of a run's log that a rollback undoes.
SELECT g.run_id, g.finding_number, g.pass, g.leaf_number, g.column_number, g.outcome, g.key, g.created_at, g.author,
       g.hash_before, g.hash_after, g.salt, g.edits, g.chain, g.logged_at
  FROM cleanup.selected_log(%(run_id)s, %(selection)s) AS g
 WHERE g.finding_number > %(after_number)s AND g.finding_number <= %(through_number)s
 ORDER BY g.finding_number LIMIT %(rows)s;

-- name: count_selected
-- How much a rollback has to settle.
SELECT count(*) FROM cleanup.selected_log(%(run_id)s, %(selection)s);

-- name: conflicts
-- The links that a rollback could not put back.
SELECT finding_number, link_number, reason FROM cleanup.conflict WHERE run_id = %(run_id)s ORDER BY finding_number, link_number;

-- name: conflicting
-- The log rows of some findings, for what stood there.
SELECT run_id, finding_number, pass, leaf_number, column_number, outcome, key, created_at, author, hash_before,
       hash_after, salt, edits, chain, logged_at
  FROM cleanup.change_log
 WHERE run_id = %(run_id)s AND finding_number = ANY (%(numbers)s::bigint[]) ORDER BY finding_number;

-- name: later
-- What runs of ours did to the same values after that, oldest first, with the number of the row that each is later than.
-- One look-up a value and run: the planner knows nothing of a log that is being written, and would rather read all of it.
-- A run that had ended before the first one began has nothing to look for.
SELECT g.run_id, g.finding_number, g.pass, g.leaf_number, g.column_number, g.outcome, g.key, g.created_at, g.author,
       g.hash_before, g.hash_after, g.salt, g.edits, g.chain, g.logged_at, i.finding_number
  FROM cleanup.run AS s
  JOIN cleanup.run AS r ON r.run_id <> s.run_id AND coalesce(r.finished_at, 'infinity') >= s.created_at
 CROSS JOIN unnest(%(numbers)s::bigint[], %(keys)s::text[], %(leaf_numbers)s::smallint[], %(column_numbers)s::smallint[],
                   %(logged_at)s::timestamptz[]) AS i(finding_number, key, leaf_number, column_number, logged_at)
 CROSS JOIN LATERAL (SELECT h.* FROM cleanup.change_log AS h
                      WHERE h.run_id = r.run_id AND hashtext(h.key) = hashtext(i.key COLLATE "C") AND h.key = i.key
                        AND h.logged_at >= i.logged_at OFFSET 0) AS g
 WHERE s.run_id = %(run_id)s
   AND cleanup.value_place(g.run_id, g.leaf_number, g.column_number)
       = cleanup.value_place(s.run_id, i.leaf_number, i.column_number)
 ORDER BY i.finding_number, g.logged_at, g.run_id;

-- name: places
-- What the numbers of a log row stand for.
SELECT l.leaf_number, c.column_number, l.table_name, l.leaf_name, c.column_name
  FROM cleanup.plan_leaf AS l
  JOIN cleanup.plan_column AS c ON c.plan_id = l.plan_id AND c.table_name = l.table_name
 WHERE l.plan_id = %(plan_id)s;
