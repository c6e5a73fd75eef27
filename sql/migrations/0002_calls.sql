-- What the job and its roles ask of the ledger in one call each: partitions, leases, a run's head and marks, purges,
-- and the wishes of the person on call.

-- Adds the partition that holds one plan's findings. Attached, since that leaves readers of other plans alone. With
-- its owner's rights, so that who makes plans needs none to create tables.
CREATE FUNCTION cleanup.add_finding_partition(of_plan bigint) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM cleanup.plan AS p WHERE p.plan_id = of_plan) THEN
        RAISE EXCEPTION USING ERRCODE = 'CL110', MESSAGE = format('there is no plan %s', of_plan);
    END IF;
    EXECUTE format('CREATE TABLE cleanup.finding_%s (LIKE cleanup.finding INCLUDING ALL, PRIMARY KEY (finding_number))', of_plan);
    EXECUTE format('ALTER TABLE cleanup.finding ATTACH PARTITION cleanup.finding_%s FOR VALUES IN (%s)', of_plan, of_plan);
    -- Of the triggers on the whole, those for each row come with ATTACH, those for TRUNCATE do not.
    EXECUTE format('CREATE TRIGGER append_only_as_a_whole BEFORE TRUNCATE ON cleanup.finding_%s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION cleanup.refuse_change()', of_plan);
END $$;
REVOKE EXECUTE ON FUNCTION cleanup.add_finding_partition(bigint) FROM PUBLIC;

-- Takes the statistics of one plan's findings by which they are read: autovacuum may be a minute late. Few rows of few
-- columns, so that it costs next to nothing; with the owner's rights, since nobody else may.
CREATE FUNCTION cleanup.analyze_findings(of_plan bigint) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET default_statistics_target = 10 AS $$
BEGIN
    EXECUTE format('ANALYZE cleanup.finding_%s (plan_id, finding_number, leaf_number, column_number, actionable)', of_plan);
END $$;
REVOKE EXECUTE ON FUNCTION cleanup.analyze_findings(bigint) FROM PUBLIC;

-- Adds the partition that holds one run's log; as above.
CREATE FUNCTION cleanup.add_log_partition(of_run bigint) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF of_run <> 0 AND NOT EXISTS (SELECT FROM cleanup.run AS r WHERE r.run_id = of_run) THEN
        RAISE EXCEPTION USING ERRCODE = 'CL110', MESSAGE = format('there is no run %s', of_run);
    END IF;
    EXECUTE format('CREATE TABLE cleanup.change_log_%s (LIKE cleanup.change_log INCLUDING ALL, PRIMARY KEY (finding_number))', of_run);
    EXECUTE format('ALTER TABLE cleanup.change_log ATTACH PARTITION cleanup.change_log_%s FOR VALUES IN (%s)', of_run, of_run);
    EXECUTE format('CREATE TRIGGER append_only_as_a_whole BEFORE TRUNCATE ON cleanup.change_log_%s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION cleanup.refuse_change()', of_run);
END $$;
REVOKE EXECUTE ON FUNCTION cleanup.add_log_partition(bigint) FROM PUBLIC;

-- A review makes the reviewed plan once more. Who planned stays who planned, and so do its sweep's start and its hour:
-- with its owner's rights, since nobody else may say any of that.
CREATE FUNCTION cleanup.derive_plan(of_plan bigint) RETURNS bigint LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO cleanup.plan (base_plan_id, code_version, matcher_version, policy_name, policy_version, policy_digest, words,
                              cutover, settings, database_identity, first_xmin, first_lsn, since_xmin, planned_by, started_at)
    SELECT p.base_plan_id, p.code_version, p.matcher_version, p.policy_name, p.policy_version, p.policy_digest, p.words,
           p.cutover, p.settings, p.database_identity, p.first_xmin, p.first_lsn, p.since_xmin, p.planned_by, p.started_at
      FROM cleanup.plan AS p WHERE p.plan_id = of_plan
    RETURNING plan_id
$$;
REVOKE EXECUTE ON FUNCTION cleanup.derive_plan(bigint) FROM PUBLIC;

-- A run is created, and a log restored, by one job at a time: the others wait here. With its owner's rights, since
-- to lock a row one must be allowed to write it.
CREATE FUNCTION cleanup.lock_plan(of_plan bigint) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM cleanup.plan AS p WHERE p.plan_id = of_plan FOR NO KEY UPDATE;
END $$;
REVOKE EXECUTE ON FUNCTION cleanup.lock_plan(bigint) FROM PUBLIC;

-- The same for plans that are being made: who starts the same one waits here, and then finds it.
CREATE FUNCTION cleanup.lock_plans() RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOCK TABLE cleanup.plan IN SHARE UPDATE EXCLUSIVE MODE;
END $$;
REVOKE EXECUTE ON FUNCTION cleanup.lock_plans() FROM PUBLIC;

-- What a batch of a rehearsal needs to be opened: an approval, a run that no signal holds and a claimed chunk, all
-- numbered 0, and gone with the rollback. With its owner's rights, since who rehearses may not sign; no digest is the one of this approval.
CREATE FUNCTION cleanup.set_up_rehearsal(of_plan bigint, chunk int, leaf int, after_finding bigint, through_finding bigint,
                                         for_attempt int) RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH signed AS (
        INSERT INTO cleanup.approval (approval_id, plan_id, digest, approver, ticket, expires_at) OVERRIDING SYSTEM VALUE
        VALUES (0, of_plan, '', 'rehearsal', 'rehearsal', 'infinity')
        RETURNING approval_id, plan_id),
    started AS (
        INSERT INTO cleanup.run (run_id, kind, plan_id, approval_id, planned, retention_days, code_version) OVERRIDING SYSTEM VALUE
        SELECT 0, 'apply', s.plan_id, s.approval_id, 0, 0, 'rehearsal' FROM signed AS s
        RETURNING run_id),
    watched AS (
        INSERT INTO cleanup.throttle (run_id, since, signals, not_before, reader)
        SELECT r.run_id, clock_timestamp(), '[]', '-infinity', 'rehearsal' FROM started AS r)
    INSERT INTO cleanup.run_chunk (run_id, chunk_number, leaf_number, after_number, through_number, state, attempt, lease_until,
                                   lease_pid, lease_backend)
    SELECT r.run_id, chunk, leaf, after_finding, through_finding, 'claimed', for_attempt, 'infinity', pg_backend_pid(),
           clock_timestamp()
      FROM started AS r
$$;
REVOKE EXECUTE ON FUNCTION cleanup.set_up_rehearsal(bigint, int, int, bigint, bigint, int) FROM PUBLIC;

-- The table and column that the numbers of a run's log row stand for: with the key, they name a value in any run.
CREATE FUNCTION cleanup.value_place(of_run bigint, leaf smallint, place smallint) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%I.%I', l.table_name, c.column_name)
      FROM cleanup.run AS r
      JOIN cleanup.plan_leaf AS l ON l.plan_id = r.plan_id AND l.leaf_number = leaf
      JOIN cleanup.plan_column AS c ON c.plan_id = r.plan_id AND c.table_name = l.table_name AND c.column_number = place
     WHERE r.run_id = of_run
$$;

-- What stands in stored JSON for a text: the number of a word of the plan, or the text itself. And the other way around.
CREATE FUNCTION cleanup.said(part json, words text[]) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE json_typeof(part) WHEN 'number' THEN words[(part #>> '{}')::int + 1] ELSE part #>> '{}' END
$$;
CREATE FUNCTION cleanup.spelled(said text, words text[]) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((array_position(words, said) - 1)::text, to_json(said)::text)
$$;

-- The part of a run's log that a selection asks for: every name that is given must hold. A value is taken where any
-- of its links is asked for. Without SET and SECURITY DEFINER, so that a page of it is read by the log's own index.
CREATE FUNCTION cleanup.selected_log(of_run bigint, part jsonb) RETURNS SETOF cleanup.change_log LANGUAGE sql STABLE AS $$
    SELECT g.* FROM cleanup.change_log AS g
     WHERE g.run_id = of_run
       AND (NOT part ? 'tables'
            OR g.leaf_number IN (SELECT l.leaf_number FROM cleanup.plan_leaf AS l JOIN cleanup.run AS r ON r.plan_id = l.plan_id
                                  WHERE r.run_id = of_run AND part -> 'tables' ? l.table_name))
       AND (NOT part ? 'keys' OR g.key::jsonb IN (SELECT k.key FROM jsonb_array_elements(part -> 'keys') AS k(key)))
       AND (NOT part ? 'authors' OR part -> 'authors' ? g.author)
       AND (NOT part ? 'created_since' OR g.created_at >= (part ->> 'created_since')::timestamptz)
       AND (NOT part ? 'created_until' OR g.created_at < (part ->> 'created_until')::timestamptz)
       AND (NOT part ? 'changed_since' OR g.logged_at >= (part ->> 'changed_since')::timestamptz)
       AND (NOT part ? 'changed_until' OR g.logged_at < (part ->> 'changed_until')::timestamptz)
       AND (NOT part ?| ARRAY['platforms', 'kinds', 'decisions']
            OR EXISTS (SELECT FROM json_array_elements(g.edits::json) AS e(edit)
                        CROSS JOIN LATERAL cleanup.said(e.edit -> 4, (
                            SELECT p.words FROM cleanup.run AS r JOIN cleanup.plan AS p ON p.plan_id = r.plan_id
                             WHERE r.run_id = of_run)) AS s(label)
                        WHERE (NOT part ? 'platforms' OR part -> 'platforms' ? split_part(s.label, '/', 1))
                          AND (NOT part ? 'kinds' OR part -> 'kinds' ? split_part(s.label, '/', 2))
                          AND (NOT part ? 'decisions' OR part -> 'decisions' ? split_part(s.label, '/', 3))))
$$;

-- Ends a batch's transaction unless each of its rows was written just as computed: a trigger may refuse or alter one.
CREATE FUNCTION cleanup.require_written(expected bigint, written bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF written IS DISTINCT FROM expected THEN
        RAISE EXCEPTION USING ERRCODE = 'CL001',
            MESSAGE = format('%s of %s rows were written as computed', written, expected);
    END IF;
END $$;

-- Whether the session that took a lease is still there. A pooler that hands the session on makes this true for
-- longer than it should be; then the lease's own end decides. The start of another role's session may be hidden
-- from us (NULL): its lanes are not dead for that.
CREATE FUNCTION cleanup.lease_is_alive(until timestamptz, pid int, backend timestamptz) RETURNS boolean LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
    SELECT until > clock_timestamp() AND EXISTS (
        SELECT FROM pg_stat_activity AS a WHERE a.pid = $2 AND coalesce(a.backend_start = $3, true)
    )
$$;

-- A purged log that came back from an archive, for a rollback; it can be purged again.
CREATE TABLE cleanup.restoration (
    purge_id    bigint PRIMARY KEY REFERENCES cleanup.purge,
    export_id   bigint NOT NULL REFERENCES cleanup.export,
    log_rows    bigint NOT NULL,
    restored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    restored_by text NOT NULL DEFAULT session_user
);

-- A database that takes the place of the one where plans and runs were made, by the word of who owns the ledger.
CREATE TABLE cleanup.relocation (
    relocation_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system_identifier text NOT NULL,
    database_oid      bigint NOT NULL,
    database_name     text NOT NULL,
    reason            text NOT NULL CHECK (reason <> ''),
    accepted_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    accepted_by       text NOT NULL DEFAULT session_user,
    UNIQUE (system_identifier, database_oid)
);

-- Whether what was made in that database is at home in this one: it is the same, or it takes its place.
CREATE FUNCTION cleanup.is_home(identity jsonb) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT identity ->> 'system_identifier' = s.system_identifier::text AND identity ->> 'database_oid' = d.oid::text
           OR EXISTS (SELECT FROM cleanup.relocation AS r
                       WHERE r.system_identifier = s.system_identifier::text AND r.database_oid = d.oid::bigint)
      FROM pg_control_system() AS s, pg_database AS d WHERE d.datname = current_database()
$$;

-- The purge that took a run's log away, unless it came back since.
CREATE FUNCTION cleanup.purge_in_force(of_run bigint) RETURNS SETOF cleanup.purge LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.* FROM cleanup.purge AS p
     WHERE p.run_id = of_run AND NOT EXISTS (SELECT FROM cleanup.restoration AS s WHERE s.purge_id = p.purge_id)
$$;

-- Raises an error unless the run may be purged now. Its SQLSTATE is CL and the digits of our error code.
CREATE FUNCTION cleanup.require_purgeable(of_run bigint, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
    run  cleanup.run;
    past cleanup.purge;
    reader bigint;
    retain_until timestamptz;
BEGIN
    SELECT * INTO run FROM cleanup.run AS r WHERE r.run_id = of_run;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'CL110', MESSAGE = format('there is no run %s', of_run),
            HINT = '`cleanup status` lists the plans and runs.';
    END IF;
    IF run.finished_at IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'CL112', MESSAGE = format('run %s is %s', of_run, run.state),
            HINT = 'let it finish or cancel it first; only a closed run is purged.';
    END IF;
    SELECT * INTO past FROM cleanup.purge_in_force(of_run);
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'CL114',
            MESSAGE = format('run %s was purged at %s by %s', of_run, past.purged_at, past.purged_by),
            HINT = format('there is nothing left to purge; `cleanup status %s` shows what was kept.', of_run);
    END IF;
    -- A rollback compares each value with the newest row for it in the logs of all runs.
    SELECT r.run_id INTO reader FROM cleanup.run AS r WHERE r.kind = 'rollback' AND r.finished_at IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'CL115', MESSAGE = format('rollback run %s is open, and reads the logs', reader),
            HINT = 'finish it (the same rollback command goes on with it) or cancel it first.';
    END IF;
    retain_until := run.finished_at + make_interval(days => run.retention_days);
    IF clock_timestamp() < retain_until AND coalesce(btrim(reason), '') = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'CL116',
            MESSAGE = format('the log of run %s is retained until %s, %s days after its end', of_run, retain_until,
                             run.retention_days),
            HINT = 'wait for that date, or give --force and the --reason.';
    END IF;
END $$;

-- Deletes what a run holds of texts, and with the last run of a plan its findings; leaves counts, heads and a proof.
-- The only way in which a log row ever goes: it checks everything itself, whoever calls it, in one transaction. While
-- it waits for a lock everybody waits behind it, so it gives up soon, and the caller tries again.
CREATE FUNCTION cleanup.purge_run(of_run bigint, reason text DEFAULT NULL) RETURNS cleanup.purge LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET lock_timeout = '100ms' AS $$
DECLARE
    run           cleanup.run;
    proof         cleanup.purge;
    log_rows      bigint;
    findings      bigint := 0;
    is_last       boolean;
    purged_at     timestamptz;
    retain_until  timestamptz;
BEGIN
    -- Refused before anybody is disturbed, and looked at again once nobody can create or end a run.
    PERFORM cleanup.require_purgeable(of_run, reason);
    SELECT * INTO STRICT run FROM cleanup.run AS r WHERE r.run_id = of_run;
    PERFORM FROM cleanup.plan AS p WHERE p.plan_id = run.plan_id FOR NO KEY UPDATE;
    -- A rollback names what it left by the findings of its plan: they go with the plan's last log.
    is_last := to_regclass(format('cleanup.finding_%s', run.plan_id)) IS NOT NULL
        AND NOT EXISTS (SELECT FROM cleanup.run AS r
                         WHERE r.plan_id = run.plan_id AND r.run_id <> of_run
                           AND NOT EXISTS (SELECT FROM cleanup.purge_in_force(r.run_id)));
    -- A closed run's rows do not change any more, so they are counted before the lanes of other runs have to wait.
    EXECUTE format('SELECT count(*) FROM cleanup.change_log_%s', of_run) INTO log_rows;
    IF is_last THEN
        EXECUTE format('SELECT count(*) FROM cleanup.finding_%s', run.plan_id) INTO findings;
    END IF;
    -- The log first, as lanes do. Who creates a run adds a partition to it, and so waits for this lock.
    LOCK TABLE ONLY cleanup.change_log IN ACCESS EXCLUSIVE MODE;
    PERFORM cleanup.require_purgeable(of_run, reason);
    EXECUTE format('DROP TABLE cleanup.change_log_%s', of_run);
    IF is_last THEN
        EXECUTE format('DROP TABLE cleanup.finding_%s', run.plan_id);
    END IF;
    purged_at := clock_timestamp();
    retain_until := run.finished_at + make_interval(days => run.retention_days);
    INSERT INTO cleanup.purge (run_id, log_rows, log_head, findings, retain_until, forced, reason, purged_at)
    VALUES (of_run, log_rows, run.log_head, findings, retain_until, purged_at < retain_until, nullif(btrim(reason), ''), purged_at)
    RETURNING * INTO proof;
    INSERT INTO cleanup.event (plan_id, run_id, name, detail)
    VALUES (run.plan_id, of_run, 'run.purged',
            jsonb_build_object('log_rows', log_rows, 'findings', findings, 'forced', proof.forced, 'reason', proof.reason,
                               'log_head', encode(run.log_head, 'hex')));
    RETURN proof;
END $$;
REVOKE EXECUTE ON FUNCTION cleanup.purge_run(bigint, text) FROM PUBLIC;

-- Deletes the findings of a plan that nobody has applied and nobody may apply; returns how many there were. They hold
-- keys, authors and hosts, no text; the plan, its digest and its counts stay.
CREATE FUNCTION cleanup.purge_plan(of_plan bigint, reason text) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET lock_timeout = '100ms' AS $$
DECLARE
    plan     cleanup.plan;
    run      cleanup.run;
    signed   timestamptz;
    findings bigint;
BEGIN
    -- Nobody signs the plan or creates its run meanwhile.
    SELECT * INTO plan FROM cleanup.plan AS p WHERE p.plan_id = of_plan FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'CL101', MESSAGE = format('there is no plan %s', of_plan),
            HINT = '`cleanup status` lists the plans and runs.';
    END IF;
    IF plan.state = 'scanning' THEN
        RAISE EXCEPTION USING ERRCODE = 'CL102', MESSAGE = format('plan %s is being made', of_plan),
            HINT = 'finish it first: `cleanup plan`; a new plan with another config or policy takes its place.';
    END IF;
    IF to_regclass(format('cleanup.finding_%s', of_plan)) IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'CL114', MESSAGE = format('the findings of plan %s were purged', of_plan),
            HINT = format('there is nothing left to purge; `cleanup report %s` shows what was kept.', of_plan);
    END IF;
    SELECT * INTO run FROM cleanup.run AS r WHERE r.plan_id = of_plan ORDER BY r.run_id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'CL108', MESSAGE = format('plan %s was applied by run %s', of_plan, run.run_id),
            HINT = format('`cleanup purge %s`: the findings go with the last log of the plan''s runs.', run.run_id);
    END IF;
    SELECT max(a.expires_at) INTO signed FROM cleanup.approval AS a
     WHERE a.plan_id = of_plan AND a.revoked_at IS NULL AND a.expires_at > clock_timestamp();
    IF signed IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'CL116', MESSAGE = format('plan %s is approved until %s', of_plan, signed),
            HINT = format('`cleanup approve %s --revoke` takes that back.', of_plan);
    END IF;
    EXECUTE format('SELECT count(*) FROM cleanup.finding_%s', of_plan) INTO findings;
    EXECUTE format('DROP TABLE cleanup.finding_%s', of_plan);
    INSERT INTO cleanup.event (plan_id, name, detail)
    VALUES (of_plan, 'plan.purged', jsonb_build_object('findings', findings, 'reason', reason));
    RETURN findings;
END $$;
REVOKE EXECUTE ON FUNCTION cleanup.purge_plan(bigint, text) FROM PUBLIC;

-- Where in the WAL a run begins and ends, for who recovers the server to that point. A restore point has a name to
-- recover to; where the role may not make one, the LSN does as well.
CREATE TABLE cleanup.wal_mark (
    run_id        bigint NOT NULL REFERENCES cleanup.run,
    moment        text NOT NULL CHECK (moment IN ('start', 'end')),
    lsn           pg_lsn NOT NULL,
    restore_point text,
    note          text,
    marked_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, moment),
    CHECK (num_nonnulls(restore_point, note) = 1)
);
COMMENT ON COLUMN cleanup.wal_mark.note IS 'Why there is no restore point.';

-- Marks the start of a run before the COMMIT that creates it, so that a server recovered to it has everything but the
-- run; and its end before the COMMIT that closes it, with all that it wrote. It never fails: no run hangs on a mark.
CREATE FUNCTION cleanup.mark_wal(of_run bigint, at_moment text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    point text := format('cleanup_run_%s_%s', of_run, at_moment);
    here  pg_lsn;
    note  text;
BEGIN
    IF NOT has_function_privilege('pg_catalog.pg_create_restore_point(text)', 'EXECUTE') THEN
        note := format('%s may not execute pg_create_restore_point', current_user);
    ELSIF current_setting('wal_level') = 'minimal' THEN
        note := 'wal_level is minimal';
    ELSE
        BEGIN
            here := pg_create_restore_point(point);
        EXCEPTION WHEN OTHERS THEN
            note := format('the server refused it: SQLSTATE %s', SQLSTATE);
        END;
    END IF;
    INSERT INTO cleanup.wal_mark (run_id, moment, lsn, restore_point, note)
    VALUES (of_run, at_moment, coalesce(here, pg_current_wal_insert_lsn()), CASE WHEN note IS NULL THEN point END, note)
    ON CONFLICT DO NOTHING;
END $$;

-- An instant as the chains and heads of the log spell it; what no Python can hold is the last one that it can.
CREATE FUNCTION cleanup.spelled_instant(at timestamptz) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN at >= timestamptz '0001-01-01 00:00:00+00' AND at < timestamptz '10000-01-01 00:00:00+00'
                THEN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
                WHEN at IS NOT NULL THEN '9999-12-31T23:59:59.999999+00:00' END
$$;

-- The head of a run: over its batches' heads in the order of pass and finding number. `cleanup verify` computes it by
-- itself, from what it reads.
CREATE FUNCTION cleanup.run_head(of_run bigint) RETURNS bytea LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT sha256(coalesce(string_agg(
               sha256(convert_to(format('[%s,%s,%s,%s,%s,"%s",%s]', b.pass, b.after_number, b.through_number,
                                        coalesce('"' || encode(b.head, 'hex') || '"', 'null'),
                                        coalesce('"' || encode(float4send(b.lock_ms), 'hex') || '"', 'null'),
                                        cleanup.spelled_instant(b.written_at),
                                        coalesce(to_json(b.retries::text)::text, 'null')), 'UTF8')),
               ''::bytea ORDER BY b.pass, b.after_number), ''))
      FROM cleanup.batch AS b WHERE b.run_id = of_run
$$;

-- Gives an open run its end, once: the head over its batches goes with it. NULL where it has ended already.
CREATE FUNCTION cleanup.close_run(of_run bigint, end_state text) RETURNS bytea LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head bytea;
BEGIN
    -- Each open batch holds a share of this lock, and belongs to the run: its lane may be another job's.
    PERFORM FROM cleanup.run AS r WHERE r.run_id = of_run FOR NO KEY UPDATE;
    head := cleanup.run_head(of_run);
    UPDATE cleanup.run AS r SET state = end_state, finished_at = clock_timestamp(), log_head = head
     WHERE r.run_id = of_run AND r.state IN ('running', 'interrupted');
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO cleanup.event (run_id, name, detail)
    VALUES (of_run, CASE end_state WHEN 'finished' THEN 'run.finished' WHEN 'cancelled' THEN 'run.cancelled'
                                   ELSE 'run.drift_stopped' END,
            jsonb_build_object('log_head', encode(head, 'hex')));
    PERFORM cleanup.mark_wal(of_run, 'end');
    RETURN head;
END $$;

-- Raises an error unless something can still be asked of the run.
CREATE FUNCTION cleanup.require_open_run(of_run bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    run cleanup.run;
BEGIN
    SELECT * INTO run FROM cleanup.run AS r WHERE r.run_id = of_run;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'CL110', MESSAGE = format('there is no run %s', of_run),
            HINT = '`cleanup status` lists the plans and runs.';
    END IF;
    IF run.finished_at IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'CL120', MESSAGE = format('run %s is %s', of_run, run.state),
            HINT = format('there is nothing left to pause, cancel or set; `cleanup status %s` shows it.', of_run);
    END IF;
END $$;

-- Records what somebody asks of a run, and says how it stands. Every lane hears it at its next batch, wherever it works.
-- go -> pause: lanes wait between batches, and keep their place. pause -> go: they go on where they stand.
-- go | pause -> cancel: the rest is not to be done; nothing follows a cancel.
CREATE FUNCTION cleanup.ask_of_run(of_run bigint, asked_wish text, asker text, why text, OUT changed boolean,
                                   OUT control cleanup.control) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM cleanup.require_open_run(of_run);
    INSERT INTO cleanup.control (run_id) VALUES (of_run) ON CONFLICT DO NOTHING;
    -- One asks at a time; batches read the row and do not lock it, so that nobody waits for them here.
    SELECT * INTO control FROM cleanup.control AS k WHERE k.run_id = of_run FOR UPDATE;
    changed := control.wish <> asked_wish;
    IF NOT changed THEN
        RETURN;
    END IF;
    IF control.wish = 'cancel' THEN
        RAISE EXCEPTION USING ERRCODE = 'CL120', MESSAGE = format('run %s is being cancelled by %s', of_run, control.asked_by),
            HINT = format('`cleanup cancel %s` again waits for its end.', of_run);
    END IF;
    UPDATE cleanup.control AS k
       SET wish = asked_wish, revision = k.revision + 1, reason = why, asked_by = asker, asked_as = session_user,
           asked_at = clock_timestamp()
     WHERE k.run_id = of_run
    RETURNING k.* INTO control;
    INSERT INTO cleanup.event (run_id, name, detail)
    VALUES (of_run, CASE asked_wish WHEN 'pause' THEN 'run.paused' WHEN 'go' THEN 'run.resumed' ELSE 'run.cancel_asked' END,
            jsonb_build_object('by', asker, 'reason', coalesce(why, '')));
END $$;

-- For psql alone: what the verbs pause, resume and cancel do. CALL cleanup.pause_run(1, 'the replicas are behind').
CREATE PROCEDURE cleanup.pause_run(of_run bigint, reason text DEFAULT NULL, INOUT standing text DEFAULT NULL) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
BEGIN
    SELECT format('run %s is paused by %s%s', of_run, (a.control).asked_by, ': ' || (a.control).reason) INTO standing
      FROM cleanup.ask_of_run(of_run, 'pause', session_user || ', by psql', reason) AS a;
END $$;

CREATE PROCEDURE cleanup.resume_run(of_run bigint, reason text DEFAULT NULL, INOUT standing text DEFAULT NULL) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
BEGIN
    PERFORM cleanup.ask_of_run(of_run, 'go', session_user || ', by psql', reason);
    SELECT format('run %s is not paused; its state is %s', of_run, r.state) INTO standing
      FROM cleanup.run AS r WHERE r.run_id = of_run;
END $$;

-- Commits the wish by itself: from then on no batch opens, so the end of the run has only those to wait for that are open.
CREATE PROCEDURE cleanup.cancel_run(of_run bigint, reason text DEFAULT NULL, INOUT standing text DEFAULT NULL) LANGUAGE plpgsql
AS $$
BEGIN
    COMMIT;
    PERFORM cleanup.limit_batch();
    PERFORM cleanup.ask_of_run(of_run, 'cancel', session_user || ', by psql', reason);
    COMMIT;
    PERFORM cleanup.limit_batch();
    PERFORM pg_catalog.set_config('lock_timeout', '30s', true);
    PERFORM cleanup.close_run(of_run, 'cancelled');
    SELECT pg_catalog.format('run %s is %s, log head %s', of_run, r.state, pg_catalog.encode(r.log_head, 'hex')) INTO standing
      FROM cleanup.run AS r WHERE r.run_id = of_run;
END $$;

-- The settings of a batch's transaction, as local ones; a function that has its own could not leave them behind.
CREATE FUNCTION cleanup.limit_batch() RETURNS void LANGUAGE sql AS $$
    SELECT pg_catalog.set_config(s.name, s.setting, true)
      FROM (VALUES ('search_path', 'pg_catalog, pg_temp'), ('lock_timeout', '500ms'), ('TimeZone', 'UTC'),
                   ('DateStyle', 'ISO, YMD'), ('IntervalStyle', 'postgres'), ('extra_float_digits', '1'),
                   ('bytea_output', 'hex'), ('row_security', 'off'), ('enable_seqscan', 'off'), ('jit', 'off')) AS s(name, setting)
$$;
