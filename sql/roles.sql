-- Who may do what with the ledger. Run it as the ledger's owner, after `cleanup init` and after each upgrade:
--     psql -v ON_ERROR_STOP=1 -f sql/roles.sql
-- It can be run again at any time. Roles belong to the whole cluster: those that are there are used as they are; to
-- create the others takes CREATEROLE. Nobody logs in as one of them: they are granted to people and to the job.
--
--     cleanup_planner    plan, review, report, status
--     cleanup_approver   approve, report, status
--     cleanup_operator   check, apply, rollback, pause, resume, cancel, set, verify, log, report, status
--     cleanup_auditor    verify, log, report, status; writes nothing
--
-- All four can run sql/reports/*.sql; the operator also pauses, resumes, cancels and rolls back by psql alone.
--
-- init belongs to the ledger's owner, and so does purge, unless somebody is given it (see the end).

BEGIN;

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['cleanup_planner', 'cleanup_approver', 'cleanup_operator', 'cleanup_auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                -- Another database of this cluster was quicker.
                NULL;
            END;
        END IF;
    END LOOP;
END $$;

-- What an earlier version granted goes, so that nobody keeps more than is written here.
REVOKE ALL ON ALL TABLES IN SCHEMA cleanup FROM cleanup_planner, cleanup_approver, cleanup_operator, cleanup_auditor;
REVOKE ALL ON ALL ROUTINES IN SCHEMA cleanup FROM cleanup_planner, cleanup_approver, cleanup_operator, cleanup_auditor;
GRANT USAGE ON SCHEMA cleanup TO cleanup_planner, cleanup_approver, cleanup_operator, cleanup_auditor;

-- Everybody reads everything but the removed links. Partitions need no rights of their own: the whole table's count.
GRANT SELECT ON cleanup.migration, cleanup.plan, cleanup.plan_leaf, cleanup.plan_column, cleanup.chunk, cleanup.finding, cleanup.span,
    cleanup.review, cleanup.review_decision, cleanup.approval, cleanup.run, cleanup.run_chunk, cleanup.control,
    cleanup.throttle, cleanup.batch, cleanup.outcome, cleanup.conflict, cleanup.deferral, cleanup.event, cleanup.export,
    cleanup.purge, cleanup.restoration, cleanup.wal_mark, cleanup.relocation
    TO cleanup_planner, cleanup_approver, cleanup_operator, cleanup_auditor;
GRANT SELECT (run_id, finding_number, pass, leaf_number, column_number, outcome, key, logged_at)
    ON cleanup.change_log TO cleanup_planner, cleanup_approver;
GRANT SELECT ON cleanup.change_log TO cleanup_operator, cleanup_auditor;

-- Rights are given column by column where the server fills in who and when: nobody signs or acts in another's name.
GRANT INSERT (plan_id, run_id, name, detail) ON cleanup.event TO cleanup_planner, cleanup_approver, cleanup_operator;
-- Reviews, signatures, revocations and runs of one plan come one after another.
GRANT EXECUTE ON FUNCTION cleanup.lock_plan(bigint) TO cleanup_planner, cleanup_approver, cleanup_operator;

-- The planner makes plans, and may not sign them.
GRANT INSERT (base_plan_id, code_version, matcher_version, policy_name, policy_version, policy_digest, words, cutover, settings,
              database_identity, first_xmin, first_lsn, since_xmin),
      UPDATE (state, finished_at, findings_digest, digest) ON cleanup.plan TO cleanup_planner;
GRANT INSERT ON cleanup.plan_leaf, cleanup.plan_column, cleanup.finding, cleanup.review_decision TO cleanup_planner;
GRANT INSERT (plan_id, reviewed_plan_id, reviewer, file_sha256) ON cleanup.review TO cleanup_planner;
GRANT INSERT, UPDATE ON cleanup.chunk TO cleanup_planner;
GRANT EXECUTE ON FUNCTION cleanup.add_finding_partition(bigint), cleanup.analyze_findings(bigint),
                          cleanup.derive_plan(bigint), cleanup.lock_plans()
    TO cleanup_planner;

-- The approver signs and revokes, and does nothing else.
GRANT INSERT (plan_id, source_run_id, selection, digest, approver, ticket, expires_at),
      UPDATE (revoked_at, revoked_by, revoker, revoked_for) ON cleanup.approval TO cleanup_approver;

-- The operator runs what was signed, and adds to the log.
GRANT INSERT (kind, plan_id, source_run_id, selection, planned, approval_id, code_version, retention_days),
      UPDATE (state, finished_at, log_head) ON cleanup.run TO cleanup_operator;
GRANT INSERT, UPDATE ON cleanup.run_chunk, cleanup.control, cleanup.throttle TO cleanup_operator;
GRANT INSERT (run_id, pass, after_number, through_number, chunk_number, attempt, lane, findings, retries),
      UPDATE (outcomes, span_outcomes, edited, log_rows, head, lock_ms) ON cleanup.batch TO cleanup_operator;
GRANT INSERT ON cleanup.outcome, cleanup.conflict, cleanup.deferral, cleanup.change_log TO cleanup_operator;
GRANT INSERT (run_id, place, format, sha256, log_rows) ON cleanup.export TO cleanup_operator;
GRANT INSERT (purge_id, export_id, log_rows) ON cleanup.restoration TO cleanup_operator;
GRANT EXECUTE ON FUNCTION cleanup.add_log_partition(bigint),
    cleanup.set_up_rehearsal(bigint, int, int, bigint, bigint, int) TO cleanup_operator;
GRANT INSERT (run_id, moment, lsn, restore_point, note) ON cleanup.wal_mark TO cleanup_operator;
-- The same for psql alone. They run with the caller's rights, so nobody does by them what his verbs may not; but
-- roll_back_run asks for no approval, whatever a config says: where rollbacks have to be signed, leave it out.
GRANT EXECUTE ON PROCEDURE cleanup.pause_run(bigint, text, text), cleanup.resume_run(bigint, text, text),
    cleanup.cancel_run(bigint, text, text), cleanup.roll_back_run(bigint, text, int, bigint) TO cleanup_operator;

COMMIT;

-- What these roles need of the posts depends on the config. For the tables and columns of the README's example, with
-- every partition of a partitioned table named by itself, since its rows are read and written there:
--
--     GRANT USAGE ON SCHEMA public TO cleanup_planner, cleanup_approver, cleanup_operator, cleanup_auditor;
--     GRANT SELECT ON public.note TO cleanup_planner, cleanup_approver, cleanup_operator, cleanup_auditor;
--     GRANT UPDATE (title, body) ON public.note TO cleanup_operator;
--
-- Whoever signs reads samples of the posts in the report. SELECT is also needed on the resolution map and on what
-- `exempt_by` looks up. Rows are locked by the right to UPDATE
-- the configured columns; no more is needed. For triggers = "suppress":
--
--     GRANT SET ON PARAMETER session_replication_role TO cleanup_operator;
--
-- Some of `check` reads what only monitoring roles may see, and says so where it can not; so do the signals of a run,
-- which waits for one that it can not read until the config accepts it by name:
--
--     GRANT pg_monitor TO cleanup_operator;
--
-- A restore point at the start and the end of each run needs a right that only a superuser can give; without it the LSN
-- alone is recorded:
--
--     GRANT EXECUTE ON FUNCTION pg_catalog.pg_create_restore_point(text) TO cleanup_operator;
--
-- People and the job get the roles; give no two of them to one person who is to be watched by another:
--
--     GRANT cleanup_operator TO cleanup_job;
--
-- purge destroys evidence. Whoever is to do it for the ledger's owner, and no operator by default:
--
--     GRANT EXECUTE ON FUNCTION cleanup.purge_run(bigint, text), cleanup.purge_plan(bigint, text) TO records_officer;
--     GRANT cleanup_auditor TO records_officer;
