-- The ledger: everything cleanup knows lives here, beside the posts, so that one transaction can hold
-- a change, its log and its checkpoint. Closed sets are CHECKs; the code has the same sets with a reason per arrow.

CREATE SCHEMA cleanup;
COMMENT ON SCHEMA cleanup IS 'Ledger of the cleanup job: plans, approvals, runs and the reversible change log.';

CREATE TABLE cleanup.migration (
    migration_number int PRIMARY KEY,
    name             text NOT NULL,
    applied_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_by       text NOT NULL DEFAULT session_user
);

-- A plan: what would be changed, and everything that result depends on.
CREATE TABLE cleanup.plan (
    plan_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    base_plan_id      bigint REFERENCES cleanup.plan,
    state             text NOT NULL DEFAULT 'scanning' CHECK (state IN ('scanning', 'finished', 'abandoned')),
    code_version      text NOT NULL,
    matcher_version   int NOT NULL,
    policy_name       text NOT NULL,
    policy_version    text NOT NULL,
    policy_digest     bytea NOT NULL,
    cutover           timestamptz NOT NULL,
    settings          jsonb NOT NULL,
    database_identity jsonb NOT NULL,
    first_xmin        xid8 NOT NULL,
    first_lsn         pg_lsn NOT NULL,
    since_xmin        xid8,
    planned_by        text NOT NULL DEFAULT session_user,
    started_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at       timestamptz,
    findings_digest   bytea,
    digest            bytea,
    CHECK ((base_plan_id IS NULL) = (since_xmin IS NULL)),
    CHECK ((state = 'finished') = (digest IS NOT NULL)),
    CHECK ((state = 'finished') = (finished_at IS NOT NULL))
);
COMMENT ON COLUMN cleanup.plan.first_xmin IS 'Every transaction that writes after the plan began has this number or a higher one.';
COMMENT ON COLUMN cleanup.plan.settings IS 'The part of the job config that alters results; part of the digest.';

-- The leaves a plan scans, in scan order: the table itself, or each partition.
CREATE TABLE cleanup.plan_leaf (
    plan_id     bigint NOT NULL REFERENCES cleanup.plan,
    leaf_number smallint NOT NULL,
    table_name  text NOT NULL,
    leaf_name   text NOT NULL,
    fingerprint jsonb NOT NULL,
    row_estimate bigint NOT NULL,
    PRIMARY KEY (plan_id, leaf_number),
    UNIQUE (plan_id, leaf_name)
);

CREATE TABLE cleanup.plan_column (
    plan_id       bigint NOT NULL REFERENCES cleanup.plan,
    table_name    text NOT NULL,
    column_number smallint NOT NULL,
    column_name   text NOT NULL,
    format        text NOT NULL CHECK (format IN ('text', 'html', 'markdown', 'json', 'url')),
    PRIMARY KEY (plan_id, table_name, column_number),
    UNIQUE (plan_id, table_name, column_name)
);

-- A chunk: a key range of a leaf, the unit of scanning. Rows are added by claims and finished once; none is hot.
CREATE TABLE cleanup.chunk (
    plan_id         bigint NOT NULL REFERENCES cleanup.plan,
    chunk_number    int NOT NULL,
    leaf_number     smallint NOT NULL,
    after_key       text[],
    through_key     text[],
    state           text NOT NULL DEFAULT 'claimed' CHECK (state IN ('claimed', 'done')),
    attempt         int NOT NULL DEFAULT 1,
    lease_until     timestamptz NOT NULL,
    lease_pid       int NOT NULL,
    lease_backend   timestamptz NOT NULL,
    findings        int,
    actionable      int,
    counts          jsonb,
    finished_at     timestamptz,
    PRIMARY KEY (plan_id, chunk_number),
    FOREIGN KEY (plan_id, leaf_number) REFERENCES cleanup.plan_leaf,
    CHECK ((state = 'done') = (counts IS NOT NULL AND findings IS NOT NULL AND actionable IS NOT NULL))
);
COMMENT ON COLUMN cleanup.chunk.through_key IS 'NULL: to the end of the leaf.';

-- A finding: one column of one row with its spans. It holds offsets and what is put there, never a post's text.
CREATE TABLE cleanup.finding (
    plan_id        bigint NOT NULL,
    finding_number bigint NOT NULL,
    leaf_number    smallint NOT NULL,
    column_number  smallint NOT NULL,
    scope          text NOT NULL CHECK (scope IN ('historical', 'exempt', 'after_cutover', 'undated')),
    actionable     boolean NOT NULL,
    refusal        text CHECK (refusal IN ('too_long', 'unreadable')),
    key            text[] NOT NULL,
    created_at     timestamptz,
    author         text,
    value_hash     bytea NOT NULL,
    finding_hash   bytea NOT NULL,
    spans          text NOT NULL,
    PRIMARY KEY (plan_id, finding_number)
) PARTITION BY LIST (plan_id);
COMMENT ON COLUMN cleanup.finding.finding_number IS 'Chunk number times 10^7 plus place in the chunk: rises in key order, with gaps.';
COMMENT ON COLUMN cleanup.finding.spans IS 'JSON: [[start, end, platform, kind, decision, reason, host, replacement or null], ...], in code points.';

CREATE TABLE cleanup.approval (
    approval_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plan_id     bigint NOT NULL REFERENCES cleanup.plan,
    digest      bytea NOT NULL,
    approver    text NOT NULL,
    ticket      text NOT NULL,
    approved_by text NOT NULL DEFAULT session_user,
    approved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at  timestamptz NOT NULL CHECK (expires_at > approved_at),
    revoked_at  timestamptz,
    revoked_by  text,
    revoker     text,
    revoked_for text,
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL)),
    CHECK (num_nulls(revoker, revoked_for) = 2 OR num_nulls(revoked_at, revoker, revoked_for) = 0)
);

-- A review: a person's decisions on what a plan left to one made a new plan, and the reviewed one stays as it was.
CREATE TABLE cleanup.review (
    plan_id          bigint PRIMARY KEY REFERENCES cleanup.plan,
    reviewed_plan_id bigint NOT NULL REFERENCES cleanup.plan,
    reviewer         text NOT NULL,
    decided_as       text NOT NULL DEFAULT session_user,
    decided_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    file_sha256      bytea NOT NULL,
    UNIQUE (reviewed_plan_id, file_sha256),
    CHECK (plan_id > reviewed_plan_id)
);

-- Which span was decided how; what it was decided on is in the reviewed plan's finding.
CREATE TABLE cleanup.review_decision (
    plan_id        bigint NOT NULL REFERENCES cleanup.review,
    finding_number bigint NOT NULL,
    span_number    int NOT NULL,
    decision       text NOT NULL CHECK (decision IN ('redact', 'keep')),
    file_line      int NOT NULL,
    PRIMARY KEY (plan_id, finding_number, span_number)
);

-- A run: one application of a plan, or the rollback of a run, whole or as far as its selection goes.
CREATE TABLE cleanup.run (
    run_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('apply', 'rollback')),
    plan_id       bigint NOT NULL REFERENCES cleanup.plan,
    source_run_id bigint REFERENCES cleanup.run,
    selection     jsonb,
    planned       bigint NOT NULL CHECK (planned >= 0),
    approval_id   bigint UNIQUE REFERENCES cleanup.approval,
    state         text NOT NULL DEFAULT 'running'
                  CHECK (state IN ('running', 'interrupted', 'drift_stopped', 'cancelled', 'finished')),
    code_version  text NOT NULL,
    started_by    text NOT NULL DEFAULT session_user,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at   timestamptz,
    log_head      bytea,
    retention_days int NOT NULL CHECK (retention_days >= 0),
    CHECK ((kind = 'rollback') = (source_run_id IS NOT NULL)),
    CHECK ((kind = 'rollback') = (selection IS NOT NULL)),
    CHECK (kind = 'rollback' OR approval_id IS NOT NULL),
    CHECK ((state IN ('drift_stopped', 'cancelled', 'finished')) = (finished_at IS NOT NULL)),
    CHECK ((finished_at IS NULL) = (log_head IS NULL))
);
COMMENT ON COLUMN cleanup.run.planned IS 'How many findings, or log rows of the source run, the run is to settle.';
COMMENT ON COLUMN cleanup.run.selection IS 'Which part of the source run a rollback undoes; {} is all of it.';
COMMENT ON COLUMN cleanup.run.retention_days IS 'For so long after its end the run''s log is purged only with a reason.';
-- What was signed runs once: a second run of the same plan needs a new plan.
CREATE UNIQUE INDEX run_one_apply_a_plan ON cleanup.run (plan_id) WHERE kind = 'apply';
CREATE UNIQUE INDEX run_one_open_rollback ON cleanup.run (source_run_id) WHERE kind = 'rollback' AND finished_at IS NULL;

-- The approval of a rollback names the run that it undoes and which part of it.
ALTER TABLE cleanup.approval
    ADD COLUMN source_run_id bigint REFERENCES cleanup.run,
    ADD COLUMN selection     jsonb,
    ADD CHECK ((source_run_id IS NULL) = (selection IS NULL));

-- A range of findings that a lane takes at once: the plan's chunks, seen from a run. A later pass takes up what
-- an earlier one deferred.
CREATE TABLE cleanup.run_chunk (
    run_id         bigint NOT NULL REFERENCES cleanup.run,
    chunk_number   int NOT NULL,
    leaf_number    smallint NOT NULL,
    after_number   bigint NOT NULL,
    through_number bigint NOT NULL CHECK (through_number > after_number),
    state          text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'claimed', 'done')),
    pass           smallint NOT NULL DEFAULT 0,
    attempt        int NOT NULL DEFAULT 0,
    lease_until    timestamptz,
    lease_pid      int,
    lease_backend  timestamptz,
    PRIMARY KEY (run_id, chunk_number),
    CHECK ((state = 'claimed') <= (lease_until IS NOT NULL AND lease_pid IS NOT NULL AND lease_backend IS NOT NULL))
);

-- What people ask of a run: written by them alone, and read as each batch opens. No row: to go on as configured.
CREATE TABLE cleanup.control (
    run_id   bigint PRIMARY KEY REFERENCES cleanup.run,
    wish     text NOT NULL DEFAULT 'go' CHECK (wish IN ('go', 'pause', 'cancel')),
    revision int NOT NULL DEFAULT 0,
    settings jsonb NOT NULL DEFAULT '{}',
    reason   text,
    asked_by text,
    asked_as text NOT NULL DEFAULT session_user,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN cleanup.control.revision IS 'Rises with every change: a batch opens only for a lane that knows the newest.';
COMMENT ON COLUMN cleanup.control.settings IS 'What takes the place of the config''s pace and throttle; the events say who set what, and why.';

-- What the job that watches a run found last. It is written once a second or two, so a page has room for the next
-- versions beside it; whoever is not heard of for a while does not hold the word.
CREATE TABLE cleanup.throttle (
    run_id     bigint PRIMARY KEY REFERENCES cleanup.run,
    reason     text,
    since      timestamptz NOT NULL,
    signals    jsonb NOT NULL,
    wal_bytes_per_second bigint,
    not_before timestamptz NOT NULL,
    reader     text NOT NULL,
    read_at    timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 20);
COMMENT ON COLUMN cleanup.throttle.reason IS 'Why no batch opens; NULL where nothing speaks against one.';
COMMENT ON COLUMN cleanup.throttle.not_before IS 'The WAL limit: the next batch has to wait for so long.';

-- Whether a batch of the run may open as far as its signals go: a word that is old counts as bad news.
CREATE FUNCTION cleanup.may_write(of_run bigint) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM cleanup.throttle AS t
                    WHERE t.run_id = of_run AND t.reason IS NULL AND t.not_before <= clock_timestamp()
                      AND t.read_at > clock_timestamp() - interval '15 seconds')
$$;

-- A batch: the rows written in one transaction. Its key says where it starts, and is inserted before any work:
-- whoever tries the same batch again waits here for the first attempt's fate.
CREATE TABLE cleanup.batch (
    run_id         bigint NOT NULL REFERENCES cleanup.run,
    pass           smallint NOT NULL,
    after_number   bigint NOT NULL,
    through_number bigint NOT NULL CHECK (through_number > after_number),
    chunk_number   int NOT NULL,
    attempt        int NOT NULL,
    lane           smallint NOT NULL,
    findings       int NOT NULL,
    outcomes       jsonb,
    span_outcomes  jsonb,
    edited         int,
    log_rows       int,
    head           bytea,
    lock_ms        real,
    written_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, pass, after_number)
) WITH (fillfactor = 50);

-- What became of a finding that was not changed; for the changed ones the log row says so.
CREATE TABLE cleanup.outcome (
    run_id         bigint NOT NULL REFERENCES cleanup.run,
    finding_number bigint NOT NULL,
    pass           smallint NOT NULL,
    outcome        text NOT NULL CHECK (outcome IN ('already_clean', 'row_gone', 'exempt_now', 'out_of_scope_now', 'locked_out',
                                                    'refused_by_database', 'unreadable_now', 'awaiting_review', 'already_restored',
                                                    'conflict')),
    detail         text,
    PRIMARY KEY (run_id, finding_number)
);

-- A link that a rollback could not put back, and why; the rest of its value may have been restored.
CREATE TABLE cleanup.conflict (
    run_id         bigint NOT NULL REFERENCES cleanup.run,
    finding_number bigint NOT NULL,
    link_number    smallint NOT NULL,
    reason         text NOT NULL CHECK (reason IN ('value_is_null', 'not_found', 'not_unique', 'overwritten', 'log_differs',
                                                   'would_break_json')),
    PRIMARY KEY (run_id, finding_number, link_number)
);

-- Findings whose row somebody else held; the next pass takes them up.
CREATE TABLE cleanup.deferral (
    run_id         bigint NOT NULL REFERENCES cleanup.run,
    pass           smallint NOT NULL,
    finding_number bigint NOT NULL,
    PRIMARY KEY (run_id, pass, finding_number)
);

-- The change log: for each changed value what stood there, what stands there now, and the hashes that prove it.
CREATE TABLE cleanup.change_log (
    run_id         bigint NOT NULL,
    finding_number bigint NOT NULL,
    pass           smallint NOT NULL,
    leaf_number    smallint NOT NULL,
    column_number  smallint NOT NULL,
    outcome        text NOT NULL CHECK (outcome IN ('changed', 'changed_after_edit', 'altered_by_trigger',
                                                    'restored', 'restored_after_edit', 'restored_in_part')),
    value_id       bigint NOT NULL,
    key            text[] NOT NULL,
    created_at     timestamptz,
    author         text,
    hash_before    bytea NOT NULL,
    hash_after     bytea NOT NULL,
    salt           bytea NOT NULL,
    edits          text NOT NULL,
    chain          bytea NOT NULL,
    logged_at      timestamptz NOT NULL,
    PRIMARY KEY (run_id, finding_number)
) PARTITION BY LIST (run_id);
CREATE INDEX change_log_value ON cleanup.change_log (value_id);
COMMENT ON TABLE cleanup.change_log IS 'Sensitive: holds the removed links. One partition a run.';
COMMENT ON COLUMN cleanup.change_log.value_id IS 'First 8 bytes of a hash over table, column and key: finds every log row of one value.';
COMMENT ON COLUMN cleanup.change_log.edits IS 'JSON: [[start after the change, removed text, text that stands there now, number of the link,
platform/kind/decision, hashes of what stands before and behind], ...], in code points.';
COMMENT ON COLUMN cleanup.change_log.chain IS 'Hash over the row and the chain value of the row before it in the batch.';
COMMENT ON COLUMN cleanup.change_log.logged_at IS 'The server''s clock once the batch held its row locks.';

CREATE TABLE cleanup.event (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    plan_id  bigint REFERENCES cleanup.plan,
    run_id   bigint REFERENCES cleanup.run,
    name     text NOT NULL,
    detail   jsonb NOT NULL DEFAULT '{}',
    by_role  text NOT NULL DEFAULT session_user
);

-- An exported copy of a run's log: it holds the removed links until somebody deletes the file.
CREATE TABLE cleanup.export (
    export_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      bigint NOT NULL REFERENCES cleanup.run,
    place       text NOT NULL,
    format      text NOT NULL CHECK (format IN ('jsonl', 'csv', 'parquet')),
    sha256      bytea NOT NULL,
    log_rows    bigint NOT NULL,
    exported_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    exported_by text NOT NULL DEFAULT session_user
);

-- The proof that a run's sensitive rows were deleted: what they were is left in counts and hashes.
CREATE TABLE cleanup.purge (
    purge_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id       bigint NOT NULL REFERENCES cleanup.run,
    log_rows     bigint NOT NULL,
    log_head     bytea NOT NULL,
    findings     bigint NOT NULL,
    retain_until timestamptz NOT NULL,
    forced       boolean NOT NULL,
    reason       text,
    purged_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    purged_by    text NOT NULL DEFAULT session_user,
    CHECK (forced <= (reason IS NOT NULL)),
    CHECK (forced OR purged_at >= retain_until)
);

-- Adds the partition that holds one plan's findings. Attached, since that leaves readers of other plans alone. With
-- its owner's rights, so that who makes plans needs none to create tables.
CREATE FUNCTION cleanup.add_finding_partition(of_plan bigint) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM cleanup.plan AS p WHERE p.plan_id = of_plan) THEN
        RAISE EXCEPTION USING ERRCODE = 'CL110', MESSAGE = format('there is no plan %s', of_plan);
    END IF;
    EXECUTE format('CREATE TABLE cleanup.finding_%s (LIKE cleanup.finding INCLUDING ALL)', of_plan);
    EXECUTE format('ALTER TABLE cleanup.finding ATTACH PARTITION cleanup.finding_%s FOR VALUES IN (%s)', of_plan, of_plan);
    -- Of the triggers on the whole, those for each row come with ATTACH, those for TRUNCATE do not.
    EXECUTE format('CREATE TRIGGER append_only_as_a_whole BEFORE TRUNCATE ON cleanup.finding_%s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION cleanup.refuse_change()', of_plan);
END $$;
REVOKE EXECUTE ON FUNCTION cleanup.add_finding_partition(bigint) FROM PUBLIC;

-- Adds the partition that holds one run's log; as above.
CREATE FUNCTION cleanup.add_log_partition(of_run bigint) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF of_run <> 0 AND NOT EXISTS (SELECT FROM cleanup.run AS r WHERE r.run_id = of_run) THEN
        RAISE EXCEPTION USING ERRCODE = 'CL110', MESSAGE = format('there is no run %s', of_run);
    END IF;
    EXECUTE format('CREATE TABLE cleanup.change_log_%s (LIKE cleanup.change_log INCLUDING ALL)', of_run);
    EXECUTE format('ALTER TABLE cleanup.change_log ATTACH PARTITION cleanup.change_log_%s FOR VALUES IN (%s)', of_run, of_run);
    EXECUTE format('CREATE TRIGGER append_only_as_a_whole BEFORE TRUNCATE ON cleanup.change_log_%s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION cleanup.refuse_change()', of_run);
END $$;
REVOKE EXECUTE ON FUNCTION cleanup.add_log_partition(bigint) FROM PUBLIC;

-- A review makes the reviewed plan once more. Who planned stays who planned, and so do its sweep's start and its hour:
-- with its owner's rights, since nobody else may say any of that.
CREATE FUNCTION cleanup.derive_plan(of_plan bigint) RETURNS bigint LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO cleanup.plan (base_plan_id, code_version, matcher_version, policy_name, policy_version, policy_digest, cutover,
                              settings, database_identity, first_xmin, first_lsn, since_xmin, planned_by, started_at)
    SELECT p.base_plan_id, p.code_version, p.matcher_version, p.policy_name, p.policy_version, p.policy_digest, p.cutover,
           p.settings, p.database_identity, p.first_xmin, p.first_lsn, p.since_xmin, p.planned_by, p.started_at
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

-- The part of a run's log that a selection asks for: every name that is given must hold. A value is taken where any
-- of its links is asked for. Without SET and SECURITY DEFINER, so that a page of it is read by the log's own index.
CREATE FUNCTION cleanup.selected_log(of_run bigint, part jsonb) RETURNS SETOF cleanup.change_log LANGUAGE sql STABLE AS $$
    SELECT g.* FROM cleanup.change_log AS g
     WHERE g.run_id = of_run
       AND (NOT part ? 'tables'
            OR g.leaf_number IN (SELECT l.leaf_number FROM cleanup.plan_leaf AS l JOIN cleanup.run AS r ON r.plan_id = l.plan_id
                                  WHERE r.run_id = of_run AND part -> 'tables' ? l.table_name))
       AND (NOT part ? 'keys' OR to_jsonb(g.key) IN (SELECT k.key FROM jsonb_array_elements(part -> 'keys') AS k(key)))
       AND (NOT part ? 'authors' OR part -> 'authors' ? g.author)
       AND (NOT part ? 'created_since' OR g.created_at >= (part ->> 'created_since')::timestamptz)
       AND (NOT part ? 'created_until' OR g.created_at < (part ->> 'created_until')::timestamptz)
       AND (NOT part ? 'changed_since' OR g.logged_at >= (part ->> 'changed_since')::timestamptz)
       AND (NOT part ? 'changed_until' OR g.logged_at < (part ->> 'changed_until')::timestamptz)
       AND (NOT part ?| ARRAY['platforms', 'kinds', 'decisions']
            OR EXISTS (SELECT FROM jsonb_array_elements(g.edits::jsonb) AS e(edit)
                        WHERE (NOT part ? 'platforms' OR part -> 'platforms' ? split_part(e.edit ->> 4, '/', 1))
                          AND (NOT part ? 'kinds' OR part -> 'kinds' ? split_part(e.edit ->> 4, '/', 2))
                          AND (NOT part ? 'decisions' OR part -> 'decisions' ? split_part(e.edit ->> 4, '/', 3))))
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
                                    'conflict', 'deferral', 'change_log', 'event', 'export', 'purge', 'restoration'] LOOP
        EXECUTE format('CREATE TRIGGER append_only_as_a_whole BEFORE TRUNCATE ON cleanup.%I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION cleanup.refuse_change()', evidence);
        EXECUTE format('CREATE TRIGGER append_only BEFORE DELETE ON cleanup.%I '
                       'FOR EACH ROW EXECUTE FUNCTION cleanup.refuse_change()', evidence);
    END LOOP;
    FOREACH evidence IN ARRAY ARRAY['finding', 'review', 'review_decision', 'outcome', 'conflict', 'deferral', 'change_log',
                                    'event', 'export', 'purge', 'restoration'] LOOP
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

-- Where a rehearsal writes as run 0, and rolls everything back: nothing ever stays in it.
SELECT cleanup.add_log_partition(0);
