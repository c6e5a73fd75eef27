-- name: read
-- What the job that watches a run found last; whoever asks is told how old that is by the server's clock.
SELECT t.reason, t.since, t.signals, t.wal_bytes_per_second, t.reader, t.read_at,
       extract(epoch FROM clock_timestamp() - t.read_at)::float8, cleanup.may_write(t.run_id)
  FROM cleanup.throttle AS t WHERE t.run_id = %(run_id)s;

-- name: write
-- One job watches a run: another one writes only once that one's word is old.
INSERT INTO cleanup.throttle AS t (run_id, reason, since, signals, wal_bytes_per_second, not_before, reader)
VALUES (%(run_id)s, %(reason)s, clock_timestamp(), %(signals)s, %(wal_bytes_per_second)s,
        clock_timestamp() + make_interval(secs => %(wait_seconds)s), %(reader)s)
ON CONFLICT (run_id) DO UPDATE
   SET reason = excluded.reason, signals = excluded.signals, wal_bytes_per_second = excluded.wal_bytes_per_second,
       since = CASE WHEN (t.reason IS NULL) = (excluded.reason IS NULL) THEN t.since ELSE excluded.since END,
       not_before = excluded.not_before, reader = excluded.reader, read_at = clock_timestamp()
 WHERE t.reader = excluded.reader OR t.read_at < clock_timestamp() - make_interval(secs => %(stale_seconds)s);
