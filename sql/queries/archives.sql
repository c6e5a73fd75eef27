-- name: add_export
-- Before the archive gets its name: a file with removed links in it that the ledger does not know would be worse
-- than an entry without its file.
INSERT INTO cleanup.export (run_id, place, format, sha256, log_rows)
VALUES (%(run_id)s, %(place)s, %(format)s, %(sha256)s, %(log_rows)s);

-- name: places
-- Where removed links may lie outside of the database: archives, and exports that were begun and never came to an end.
SELECT DISTINCT ON (e.place) e.place, e.format, e.sha256, e.exported_at, e.exported_by
  FROM (SELECT x.place, x.format, x.sha256, x.exported_at, x.exported_by
          FROM cleanup.export AS x WHERE x.run_id = %(run_id)s
        UNION ALL
        SELECT v.detail ->> 'place', v.detail ->> 'format', NULL, v.at, v.by_role
          FROM cleanup.event AS v WHERE v.run_id = %(run_id)s AND v.name = 'log.export_begun') AS e
 ORDER BY e.place, e.exported_at DESC;

-- name: known
-- The export that this manifest belongs to, if the ledger has ever made it.
SELECT export_id FROM cleanup.export
 WHERE run_id = %(run_id)s AND sha256 = %(sha256)s ORDER BY export_id LIMIT 1;

-- name: signature
-- Who makes an archive, and when: by the server's word, as everywhere.
SELECT session_user::text, clock_timestamp();

-- name: receive
-- Log rows come back by binary COPY, in the transaction that says so.
COPY cleanup.change_log (run_id, finding_number, pass, leaf_number, column_number, outcome, key, created_at, author,
                         hash_before, hash_after, salt, edits, chain, logged_at)
FROM STDIN (FORMAT BINARY);

-- name: add_restoration
-- One for each purge: a second restorer waits here for the first one's end.
INSERT INTO cleanup.restoration (purge_id, export_id, log_rows) VALUES (%(purge_id)s, %(export_id)s, %(log_rows)s);

-- name: restoration
-- How a run's log came back, if it did after its newest purge.
SELECT s.restored_at, s.restored_by, s.log_rows
  FROM cleanup.purge AS p JOIN cleanup.restoration AS s ON s.purge_id = p.purge_id
 WHERE p.run_id = %(run_id)s AND NOT EXISTS (SELECT FROM cleanup.purge_in_force(%(run_id)s))
 ORDER BY p.purge_id DESC LIMIT 1;

-- name: batches
-- Everything that a batch's head was made of, but for its log rows. Of the links that stayed in conflict, those whose
-- value this batch settled: another pass may have covered the same range.
SELECT b.run_id, b.pass, b.after_number, b.through_number, b.chunk_number, b.attempt, b.lane, b.findings, b.outcomes,
       b.span_outcomes, b.edited, b.log_rows, b.head, b.written_at, float4send(b.lock_ms), b.retries::text,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(o.finding_number, o.outcome, o.detail) ORDER BY o.finding_number), '[]')
          FROM cleanup.outcome AS o
         WHERE o.run_id = b.run_id AND o.pass = b.pass
           AND o.finding_number > b.after_number AND o.finding_number <= b.through_number),
       (SELECT coalesce(jsonb_agg(jsonb_build_array(c.finding_number, c.link_number, c.reason)
                                  ORDER BY c.finding_number, c.link_number), '[]')
          FROM cleanup.conflict AS c
         WHERE c.run_id = b.run_id AND c.finding_number > b.after_number AND c.finding_number <= b.through_number
           AND (EXISTS (SELECT FROM cleanup.outcome AS o
                         WHERE o.run_id = c.run_id AND o.finding_number = c.finding_number AND o.pass = b.pass)
                OR EXISTS (SELECT FROM cleanup.change_log AS g
                            WHERE g.run_id = c.run_id AND g.finding_number = c.finding_number AND g.pass = b.pass))),
       (SELECT coalesce(jsonb_agg(d.finding_number ORDER BY d.finding_number), '[]')
          FROM cleanup.deferral AS d
         WHERE d.run_id = b.run_id AND d.pass = b.pass + 1
           AND d.finding_number > b.after_number AND d.finding_number <= b.through_number)
  FROM cleanup.batch AS b
 WHERE b.run_id = %(run_id)s AND (b.pass, b.after_number) > (%(pass)s::int, %(after_number)s::bigint)
 ORDER BY b.pass, b.after_number LIMIT %(batches)s;
