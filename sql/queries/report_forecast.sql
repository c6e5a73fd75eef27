-- name: relations
-- What a run would write on, leaf by leaf: rows and values of the plan, and the table's size as the files have it.
SELECT l.leaf_name, coalesce(p.rows, 0), coalesce(p.values, 0),
       (coalesce(p.values, 0) * %(log_row_bytes)s + coalesce(s.bytes, 0))::bigint,
       coalesce(pg_relation_size(r.oid), 0)::bigint, coalesce(greatest(r.reltuples, l.row_estimate, 0), 0)::bigint,
       coalesce(x.indexes, 0), coalesce(x.bytes, 0)
  FROM cleanup.plan_leaf AS l
  LEFT JOIN pg_class AS r ON r.oid = (l.fingerprint ->> 'oid')::oid
  LEFT JOIN LATERAL (SELECT count(*)::bigint AS indexes, coalesce(sum(pg_relation_size(i.indexrelid)), 0)::bigint AS bytes
                       FROM pg_index AS i WHERE i.indrelid = r.oid) AS x ON true
  LEFT JOIN (SELECT f.leaf_number, count(DISTINCT f.key)::bigint AS rows, count(*)::bigint AS values
               FROM cleanup.finding AS f
              WHERE f.plan_id = %(plan_id)s AND f.actionable GROUP BY 1) AS p ON p.leaf_number = l.leaf_number
  LEFT JOIN (SELECT e.leaf_number, sum(e.ends - e.begins + %(log_link_bytes)s
                                       + CASE WHEN w.word IS NULL THEN octet_length(e.replacement) ELSE 0 END) AS bytes
               FROM cleanup.span AS e
               LEFT JOIN (SELECT unnest(p.words) AS word FROM cleanup.plan AS p
                           WHERE p.plan_id = %(plan_id)s) AS w ON w.word = e.replacement
              WHERE e.plan_id = %(plan_id)s AND e.actionable AND e.decision IN ('redact', 'rewrite')
              GROUP BY 1) AS s ON s.leaf_number = l.leaf_number
 WHERE l.plan_id = %(plan_id)s ORDER BY l.leaf_number;

-- name: server
-- The settings that decide how much WAL a change costs.
SELECT current_setting('block_size')::bigint, current_setting('full_page_writes')::boolean,
       current_setting('checkpoint_timeout');

-- name: earlier_run
-- What a run in this ledger came to: the newest that was applied whole and took some time.
SELECT r.run_id, sum(b.findings)::bigint, extract(epoch FROM max(b.written_at) - min(b.written_at))::float8,
       sum(b.log_rows)::bigint,
       coalesce(pg_total_relation_size(to_regclass(format('cleanup.change_log_%%s', r.run_id))), 0)::bigint
  FROM cleanup.run AS r
  JOIN cleanup.batch AS b ON b.run_id = r.run_id
 WHERE r.kind = 'apply' AND r.state = 'finished'
 GROUP BY r.run_id HAVING max(b.written_at) > min(b.written_at) ORDER BY r.run_id DESC LIMIT 1;

-- name: rehearsal
-- What a rehearsal of this plan measured: the one that went furthest, since a few findings say little of a pace, and of
-- several the newest.
SELECT m.findings, m.elapsed_ms / 1000.0::float8, m.wal_bytes, m.lanes, e.at
  FROM cleanup.event AS e
 CROSS JOIN LATERAL jsonb_to_record(e.detail) AS m(findings bigint, elapsed_ms bigint, wal_bytes bigint, lanes int)
 WHERE e.plan_id = %(plan_id)s AND e.name = %(event)s AND m.findings > 0 AND m.elapsed_ms > 0
 ORDER BY m.findings DESC, e.event_id DESC LIMIT 1;
