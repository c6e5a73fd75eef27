-- What did the job that watches each run read last of the database's signals? psql -v run=1 -f throttle.sql, or without -v.
\if :{?run} \else \set run '' \endif
SELECT t.run_id AS run, s.signal ->> 'name' AS signal, s.signal - 'name' AS reading,
       coalesce(t.reason, CASE WHEN cleanup.may_write(t.run_id) THEN 'nothing speaks against a batch' ELSE 'nobody watches it' END)
           AS verdict,
       t.reader, pg_catalog.date_trunc('milliseconds', pg_catalog.clock_timestamp() - t.read_at) AS read_ago
  FROM cleanup.throttle AS t
  LEFT JOIN LATERAL pg_catalog.jsonb_array_elements(t.signals) AS s(signal) ON true
 WHERE :'run' IN ('', t.run_id::text)
 ORDER BY t.run_id DESC, signal;
