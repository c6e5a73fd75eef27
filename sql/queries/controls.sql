-- name: ensure
-- A run has no control until somebody asks something of it.
INSERT INTO cleanup.control (run_id) VALUES (%(run_id)s) ON CONFLICT DO NOTHING;

-- name: lock
-- One asks at a time; batches read the row and do not lock it, so that nobody waits for them here.
SELECT wish, revision, settings, reason, asked_by, asked_as, asked_at
  FROM cleanup.control WHERE run_id = %(run_id)s FOR UPDATE;

-- name: require_open
-- Raises an error unless something can still be asked of the run.
SELECT cleanup.require_open_run(%(run_id)s);

-- name: ask
-- By the ledger's own function, which psql's procedures call as well.
SELECT a.changed, (a.control).wish, (a.control).revision, (a.control).settings, (a.control).reason, (a.control).asked_by,
       (a.control).asked_as, (a.control).asked_at
  FROM cleanup.ask_of_run(%(run_id)s, %(wish)s, %(asked_by)s, %(reason)s) AS a;

-- name: set
-- Pace and throttle from the next batch on; wish, and who asked for it, stay.
UPDATE cleanup.control SET settings = %(settings)s, revision = revision + 1 WHERE run_id = %(run_id)s;

-- name: gate
-- Whether a lane may go on, and at which pace: looked at by lanes that a batch has sent back, and by the job.
SELECT r.state, coalesce(k.wish, 'go'), coalesce(k.revision, 0), coalesce(k.settings, '{}'), k.reason, k.asked_by, k.asked_as,
       k.asked_at, cleanup.may_write(r.run_id)
  FROM cleanup.run AS r LEFT JOIN cleanup.control AS k ON k.run_id = r.run_id
 WHERE r.run_id = %(run_id)s;

-- name: settings
-- What holds in place of the config's is the control's; who said so and why, the newest event's that has KEY=VALUE of it.
SELECT s.name || '.' || v.key, v.value, e.detail ->> 'by', e.by_role, e.at, e.detail ->> 'reason'
  FROM cleanup.control AS k
 CROSS JOIN LATERAL jsonb_each(k.settings) AS s(name, keys)
 CROSS JOIN LATERAL jsonb_each(s.keys) AS v(key, value)
  LEFT JOIN LATERAL (
        SELECT w.detail, w.by_role, w.at FROM cleanup.event AS w
         WHERE w.run_id = k.run_id AND w.name = %(event)s
           AND strpos(' ' || (w.detail ->> 'settings'), ' ' || s.name || '.' || v.key || '=') > 0
         ORDER BY w.event_id DESC LIMIT 1) AS e ON true
 WHERE k.run_id = %(run_id)s ORDER BY 1;
