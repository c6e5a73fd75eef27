-- name: create
-- A plan knows everything that its result depends on; the snapshot's xmin is where its closing sweep starts.
INSERT INTO cleanup.plan (base_plan_id, code_version, matcher_version, policy_name, policy_version, policy_digest, words,
                          cutover, settings, database_identity, first_xmin, first_lsn, since_xmin)
VALUES (%(base_plan_id)s, %(code_version)s, %(matcher_version)s, %(policy_name)s, %(policy_version)s, %(policy_digest)s,
        %(words)s, %(cutover)s, %(settings)s, %(database_identity)s, pg_snapshot_xmin(pg_current_snapshot()), pg_current_wal_insert_lsn(),
        (SELECT b.first_xmin FROM cleanup.plan AS b WHERE b.plan_id = %(base_plan_id)s))
RETURNING plan_id;

-- name: add_findings
-- The plan's own partition, so that a purge drops it whole.
SELECT cleanup.add_finding_partition(%(plan_id)s);

-- name: add_leaf
-- What will be scanned, with the fingerprint that apply compares.
INSERT INTO cleanup.plan_leaf (plan_id, leaf_number, table_name, leaf_name, fingerprint, row_estimate)
VALUES (%(plan_id)s, %(leaf_number)s, %(table_name)s, %(leaf_name)s, %(fingerprint)s, %(row_estimate)s);

-- name: add_column
-- The configured columns, so that the ledger can be read without the config.
INSERT INTO cleanup.plan_column (plan_id, table_name, column_number, column_name, format)
VALUES (%(plan_id)s, %(table_name)s, %(column_number)s, %(column_name)s, %(format)s);

-- name: open_one_at_a_time
-- Who starts the same plan at the same moment waits here, and then finds the one that was made. Nothing else does.
SELECT cleanup.lock_plans();

-- name: unfinished
-- The interrupted plan that the same command would make again: it goes on instead. Newest first.
SELECT plan_id FROM cleanup.plan
 WHERE state = 'scanning' AND base_plan_id IS NOT DISTINCT FROM %(base_plan_id)s
   AND code_version = %(code_version)s AND matcher_version = %(matcher_version)s
   AND policy_digest = %(policy_digest)s AND settings = %(settings)s AND database_identity = %(database_identity)s
 ORDER BY plan_id DESC LIMIT 1;

-- name: abandon_unfinished
-- Interrupted plans that no command would go on with any more.
UPDATE cleanup.plan SET state = 'abandoned' WHERE state = 'scanning' AND plan_id <> ALL (%(except)s::bigint[]);

-- name: get
-- One plan, whole.
SELECT plan_id, base_plan_id, state, code_version, matcher_version, policy_name, policy_version, policy_digest, words, cutover,
       settings, database_identity, first_xmin::text, first_lsn::text, since_xmin::text, planned_by, started_at, finished_at,
       findings_digest, digest
  FROM cleanup.plan WHERE plan_id = %(plan_id)s;

-- name: leaves
-- The plan's leaves in scan order.
SELECT leaf_number, table_name, leaf_name, fingerprint, row_estimate
  FROM cleanup.plan_leaf WHERE plan_id = %(plan_id)s ORDER BY leaf_number;

-- name: columns
-- The plan's columns in the config's order.
SELECT table_name, column_number, column_name, format
  FROM cleanup.plan_column WHERE plan_id = %(plan_id)s ORDER BY table_name, column_number;

-- name: words_of_runs
-- What the numbers in the edits of some runs stand for.
SELECT r.run_id, p.words
  FROM cleanup.run AS r JOIN cleanup.plan AS p ON p.plan_id = r.plan_id WHERE r.run_id = ANY (%(run_ids)s::bigint[]);

-- name: finish
-- Only once, and only from scanning: two jobs that end together write the same digest.
UPDATE cleanup.plan
   SET state = 'finished', finished_at = clock_timestamp(), findings_digest = %(findings_digest)s, digest = %(digest)s
 WHERE plan_id = %(plan_id)s AND state = 'scanning';

-- name: all
-- Every plan, newest first, for status.
SELECT plan_id, base_plan_id, state, code_version, matcher_version, policy_name, policy_version, policy_digest, words, cutover,
       settings, database_identity, first_xmin::text, first_lsn::text, since_xmin::text, planned_by, started_at, finished_at,
       findings_digest, digest
  FROM cleanup.plan ORDER BY plan_id DESC;
