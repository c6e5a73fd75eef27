-- name: add
-- What happened to a plan or run, by whom; never a post's text.
INSERT INTO cleanup.event (plan_id, run_id, name, detail) VALUES (%(plan_id)s, %(run_id)s, %(name)s, %(detail)s);
