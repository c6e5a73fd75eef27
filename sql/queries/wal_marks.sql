-- name: mark_start
-- The end is marked by the function that closes the run.
SELECT cleanup.mark_wal(%(run_id)s, 'start');

-- name: of_run
-- The start first.
SELECT m.moment, m.lsn::text, m.restore_point, m.note, m.marked_at
  FROM cleanup.wal_mark AS m WHERE m.run_id = %(run_id)s ORDER BY m.lsn;
