-- What is written stays as it was written, whoever tries. Whoever owns the ledger can take these triggers off; then
-- only a head that was kept elsewhere tells. No trigger on INSERT: a row costs nothing. A purge drops whole partitions.
CREATE FUNCTION cleanup.refuse_change() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CL002',
        MESSAGE = format('%I.%I is evidence: %s is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP),
        HINT = coalesce(TG_ARGV[0], 'rows are only ever added; `cleanup purge RUN`, which calls cleanup.purge_run, is the '
                                    'one way to delete a run''s log and the findings of its plan.');
END $$;

DO $$
DECLARE
    evidence text;
BEGIN
    FOREACH evidence IN ARRAY ARRAY['plan', 'finding', 'review', 'review_decision', 'approval', 'run', 'batch', 'outcome',
                                    'conflict', 'deferral', 'change_log', 'event', 'export', 'purge', 'restoration', 'wal_mark',
                                    'relocation'] LOOP
        EXECUTE format('CREATE TRIGGER append_only_as_a_whole BEFORE TRUNCATE ON cleanup.%I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION cleanup.refuse_change()', evidence);
        EXECUTE format('CREATE TRIGGER append_only BEFORE DELETE ON cleanup.%I '
                       'FOR EACH ROW EXECUTE FUNCTION cleanup.refuse_change()', evidence);
    END LOOP;
    FOREACH evidence IN ARRAY ARRAY['finding', 'review', 'review_decision', 'outcome', 'conflict', 'deferral', 'change_log',
                                    'event', 'export', 'purge', 'restoration', 'wal_mark',
                                    'relocation'] LOOP
        EXECUTE format('CREATE TRIGGER written_once BEFORE UPDATE ON cleanup.%I '
                       'FOR EACH ROW EXECUTE FUNCTION cleanup.refuse_change()', evidence);
    END LOOP;
END $$;

-- Four tables are written twice, each in its own way.
CREATE TRIGGER written_once BEFORE UPDATE ON cleanup.plan FOR EACH ROW WHEN (OLD.state <> 'scanning')
    EXECUTE FUNCTION cleanup.refuse_change('a plan stays as it was finished or abandoned: make a new one.');
CREATE TRIGGER written_once BEFORE UPDATE ON cleanup.run FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL)
    EXECUTE FUNCTION cleanup.refuse_change('a run stays as it was closed: make a new plan, or roll it back.');
CREATE TRIGGER written_once BEFORE UPDATE ON cleanup.batch FOR EACH ROW
    WHEN (OLD.head IS NOT NULL OR OLD.xmin <> pg_current_xact_id()::xid)
    EXECUTE FUNCTION cleanup.refuse_change('a batch is settled once, by the transaction that opened it.');
CREATE TRIGGER written_once BEFORE UPDATE ON cleanup.approval FOR EACH ROW
    WHEN (OLD.revoked_at IS NOT NULL OR NEW.revoked_at IS NULL OR NEW.revoked_by IS DISTINCT FROM session_user
          OR to_jsonb(OLD) - ARRAY['revoked_at', 'revoked_by', 'revoker', 'revoked_for']
             IS DISTINCT FROM to_jsonb(NEW) - ARRAY['revoked_at', 'revoked_by', 'revoker', 'revoked_for'])
    EXECUTE FUNCTION cleanup.refuse_change('an approval can only be revoked, once and in one''s own name: '
                                           '`cleanup approve --revoke` does it.');

-- A state changes only in the ways that the code has a reason for: those of plans and runs are what the triggers above
-- leave. Looked at only where a statement writes the state, so that a renewed lease costs nothing.
CREATE FUNCTION cleanup.refuse_transition() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CL002',
        MESSAGE = format('%I.%I: nothing leads from %s to %s', TG_TABLE_SCHEMA, TG_TABLE_NAME,
                         to_jsonb(OLD) ->> TG_ARGV[0], to_jsonb(NEW) ->> TG_ARGV[0]),
        HINT = 'states are changed by the verbs of cleanup and by the ledger''s procedures.';
END $$;

CREATE TRIGGER written_stepwise BEFORE UPDATE OF state ON cleanup.chunk FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND OLD.state || ' -> ' || NEW.state NOT IN ('claimed -> done'))
    EXECUTE FUNCTION cleanup.refuse_transition('state');
CREATE TRIGGER written_stepwise BEFORE UPDATE OF state ON cleanup.run_chunk FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND OLD.state || ' -> ' || NEW.state NOT IN (
        'open -> claimed', 'claimed -> open', 'claimed -> done'))
    EXECUTE FUNCTION cleanup.refuse_transition('state');
CREATE TRIGGER written_stepwise BEFORE UPDATE OF wish ON cleanup.control FOR EACH ROW
    WHEN (OLD.wish <> NEW.wish AND OLD.wish || ' -> ' || NEW.wish NOT IN (
        'go -> pause', 'pause -> go', 'go -> cancel', 'pause -> cancel'))
    EXECUTE FUNCTION cleanup.refuse_transition('wish');

-- Where a rehearsal writes as run 0, and rolls everything back: nothing ever stays in it.
SELECT cleanup.add_log_partition(0);
