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
    retries        jsonb,
    outcomes       jsonb,
    span_outcomes  jsonb,
    edited         int,
    log_rows       int,
    head           bytea,
    lock_ms        real,
    written_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, pass, after_number)
) WITH (fillfactor = 50);
COMMENT ON COLUMN cleanup.batch.retries IS 'How often it was tried before, by cause; NULL where the first attempt held.';

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
                                                   'would_break_json', 'not_as_written')),
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

-- From here on: the rollback of a whole run without the program, for who has psql and nothing else. It restores what
-- still stands as the run left it, exactly; anything else is a conflict, which `cleanup rollback` may place later. What
-- it writes to the ledger is what a lane of that verb writes: either goes on with a rollback that the other has begun.

-- The hash of a value; NULL has one of its own.
CREATE FUNCTION cleanup.value_hash(value text) RETURNS bytea LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sha256(convert_to(value, 'UTF8')), decode(repeat('00', 32), 'hex'))
$$;

-- The text before a change, from the text after it and the logged edits; NULL where an inserted text is not in its place.
CREATE FUNCTION cleanup.text_before(after text, edits text) RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    edit     record;
    position int := 0;
    before   text := '';
BEGIN
    FOR edit IN SELECT (e.edit ->> 0)::int AS start, e.edit ->> 1 AS removed, e.edit ->> 2 AS inserted
                  FROM json_array_elements(edits::json) WITH ORDINALITY AS e(edit, place) ORDER BY e.place LOOP
        IF edit.start < position
           OR substr(after, edit.start + 1, char_length(edit.inserted)) COLLATE "C" IS DISTINCT FROM edit.inserted THEN
            RETURN NULL;
        END IF;
        before := before || substr(after, position + 1, edit.start - position) || edit.removed;
        position := edit.start + char_length(edit.inserted);
    END LOOP;
    RETURN before || substr(after, position + 1);
END $$;

-- CRC-32 as zlib has it, by half bytes: PostgreSQL has one of its own only from version 18 on.
CREATE FUNCTION cleanup.crc32(content bytea) RETURNS bigint LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    halves CONSTANT bigint[] := '{0,498536548,997073096,651767980,1994146192,1802195444,1303535960,1342533948,
        3988292384,4027552580,3604390888,3412177804,2607071920,2262029012,2685067896,3183342108}';
    crc bigint := 4294967295;
BEGIN
    FOR place IN 0 .. length(content) - 1 LOOP
        crc := crc # get_byte(content, place);
        crc := (crc >> 4) # halves[(crc & 15) + 1];
        crc := (crc >> 4) # halves[(crc & 15) + 1];
    END LOOP;
    RETURN crc # 4294967295;
END $$;

-- What stands on one side of an edit, as the log remembers it: its length, and 20 bits over its near and its far part.
CREATE FUNCTION cleanup.side_of_edit(near text, far text) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT to_hex(char_length(far)) || lpad(to_hex(cleanup.crc32(convert_to(near, 'UTF8')) & 1048575), 5, '0')
                                    || lpad(to_hex(cleanup.crc32(convert_to(far, 'UTF8')) & 1048575), 5, '0')
$$;

-- The edits that lead back from what a restore puts there: a change of its own, logged as each change is.
CREATE FUNCTION cleanup.swapped_edits(edits text, restored text) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    WITH logged AS (
        SELECT e.place, (e.edit ->> 0)::int AS start, e.edit ->> 1 AS removed, e.edit ->> 2 AS inserted, e.edit ->> 3 AS number,
               e.edit ->> 4 AS label
          FROM json_array_elements(edits::json) WITH ORDINALITY AS e(edit, place)),
    swapped AS (
        SELECT l.*, l.start + coalesce(sum(char_length(l.removed) - char_length(l.inserted)) OVER earlier, 0)::int AS begins
          FROM logged AS l WINDOW earlier AS (ORDER BY l.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)),
    bounded AS (
        SELECT s.*, s.begins + char_length(s.removed) AS ends,
               greatest(coalesce(lag(s.begins + char_length(s.removed)) OVER by_place, 0), s.begins - 12) AS floor,
               least(coalesce(lead(s.begins) OVER by_place, char_length(restored)),
                     s.begins + char_length(s.removed) + 12) AS ceiling
          FROM swapped AS s WINDOW by_place AS (ORDER BY s.place)),
    sided AS (
        SELECT b.*, substr(restored, b.floor + 1, b.begins - b.floor) AS before,
               substr(restored, b.ends + 1, b.ceiling - b.ends) AS behind
          FROM bounded AS b)
    SELECT '[' || coalesce(string_agg(format('[%s,%s,%s,%s,%s,"%s%s"]', d.begins, to_json(d.inserted), to_json(d.removed),
                                             d.number, to_json(d.label),
                                             cleanup.side_of_edit(right(d.before, 4), d.before),
                                             cleanup.side_of_edit(left(d.behind, 4), d.behind)), ',' ORDER BY d.place), '') || ']'
      FROM sided AS d
$$;

-- The chain value of a log row, given that of the row before it in its batch: over every column but itself.
CREATE FUNCTION cleanup.chain_of(previous bytea, entry cleanup.change_log) RETURNS bytea LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT sha256(previous || sha256(
               convert_to(format('(%s, %s, %s, %s, %s, %s) %s %s %s %s %s %s', entry.run_id, entry.pass, entry.finding_number,
                                 entry.leaf_number, entry.column_number, entry.value_id,
                                 coalesce(cleanup.spelled_instant(entry.created_at), 'None'),
                                 cleanup.spelled_instant(entry.logged_at),
                                 length(entry.hash_before), length(entry.hash_after), length(entry.salt), t.texts), 'UTF8')
               || entry.hash_before || entry.hash_after || entry.salt || sha256(entry.salt || convert_to(entry.edits, 'UTF8'))))
      FROM (SELECT string_agg(coalesce(char_length(p.part) || ':' || p.part, '!None'), ' ' ORDER BY p.place) AS texts
              FROM unnest(ARRAY[entry.outcome, entry.author] || entry.key) WITH ORDINALITY AS p(part, place)) AS t
$$;

-- Where the values of a leaf stand today: its name, how a row is found by its key, and its configured columns in order.
CREATE TYPE cleanup.leaf_place AS (name text, key_match text, columns text[], casts text[]);
CREATE FUNCTION cleanup.leaf_today(of_plan bigint, leaf int) RETURNS cleanup.leaf_place LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place    cleanup.leaf_place;
    planned  cleanup.plan_leaf;
    settings jsonb;
    leaf_oid oid;
    unknown  text;
    firing   text;
    keys     text[];
BEGIN
    SELECT * INTO STRICT planned FROM cleanup.plan_leaf AS l WHERE l.plan_id = of_plan AND l.leaf_number = leaf;
    SELECT p.settings -> planned.table_name INTO STRICT settings FROM cleanup.plan AS p WHERE p.plan_id = of_plan;
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) INTO leaf_oid, place.name
      FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE n.nspname || '.' || c.relname = planned.leaf_name AND c.relkind = 'r';
    IF leaf_oid IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'CL106',
            MESSAGE = format('%s, which plan %s scanned, is not there any more', planned.leaf_name, of_plan),
            HINT = 'put it back.';
    END IF;
    -- The key that the program would choose, in the order of its index.
    SELECT k.names INTO keys
      FROM (SELECT i.indisprimary, i.indexrelid, bool_and(a.attnotnull) AS is_not_null,
                   array_agg(a.attname::text ORDER BY u.place) AS names
              FROM pg_index AS i
             CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS u(attnum, place)
              JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.attnum
             WHERE i.indrelid = (SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                                  WHERE n.nspname || '.' || c.relname = planned.table_name)
               AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
               AND u.place <= i.indnkeyatts
             GROUP BY i.indisprimary, i.indexrelid) AS k
     CROSS JOIN (SELECT coalesce(array_agg(w.name), '{}') AS names FROM jsonb_array_elements_text(settings -> 'key') AS w(name)) AS w
     WHERE CASE WHEN w.names = '{}' THEN k.indisprimary ELSE k.is_not_null AND k.names @> w.names AND k.names <@ w.names END
     ORDER BY k.indisprimary DESC, k.indexrelid LIMIT 1;
    SELECT string_agg(format('t.%I = ($1)[%s]::%s', u.name, u.place, format_type(a.atttypid, a.atttypmod)), ' AND ' ORDER BY u.place)
      INTO place.key_match
      FROM unnest(keys) WITH ORDINALITY AS u(name, place)
      JOIN pg_attribute AS a ON a.attrelid = leaf_oid AND a.attname = u.name AND NOT a.attisdropped;
    SELECT array_agg(c.column_name ORDER BY c.column_number),
           array_agg(CASE WHEN coalesce(b.typname, y.typname) IN ('json', 'jsonb') THEN '::' || coalesce(b.typname, y.typname)
                          ELSE '' END ORDER BY c.column_number),
           string_agg(c.column_name, ', ') FILTER (WHERE a.attname IS NULL)
      INTO place.columns, place.casts, unknown
      FROM cleanup.plan_column AS c
      LEFT JOIN pg_attribute AS a ON a.attrelid = leaf_oid AND a.attname = c.column_name AND NOT a.attisdropped
      LEFT JOIN pg_type AS y ON y.oid = a.atttypid
      LEFT JOIN pg_type AS b ON b.oid = y.typbasetype
     WHERE c.plan_id = of_plan AND c.table_name = planned.table_name;
    IF place.key_match IS NULL OR unknown IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'CL106',
            MESSAGE = format('%s has lost %s since plan %s', planned.leaf_name, coalesce('column ' || unknown, 'its key'), of_plan),
            HINT = 'put it back.';
    END IF;
    -- What the config says of triggers holds for its rollback too.
    IF settings ->> 'triggers' = 'suppress' THEN
        PERFORM set_config('session_replication_role', 'replica', true);
    ELSIF settings ->> 'triggers' = 'refuse' THEN
        SELECT t.tgname INTO firing FROM pg_trigger AS t
         WHERE t.tgrelid = leaf_oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 16 <> 0
           AND (t.tgattr::text = '' OR EXISTS (SELECT FROM pg_attribute AS a
                                                WHERE a.attrelid = leaf_oid AND a.attnum = ANY (t.tgattr::int2[])
                                                  AND a.attname = ANY (place.columns)))
         LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'CL313',
                MESSAGE = format('trigger %s on %s would fire, and the plan''s config says refuse', firing, planned.leaf_name),
                HINT = 'decide what is to become of it, and use `cleanup rollback` with that config.';
        END IF;
    END IF;
    RETURN place;
END $$;

-- Creates the rollback of a whole run, or finds the one that is open.
CREATE FUNCTION cleanup.open_rollback(of_run bigint, why text) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    source   cleanup.run;
    rollback cleanup.run;
    past     cleanup.purge;
    identity jsonb;
BEGIN
    SELECT * INTO source FROM cleanup.run AS r WHERE r.run_id = of_run;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'CL110', MESSAGE = format('there is no run %s', of_run),
            HINT = 'sql/reports/progress.sql lists the runs.';
    END IF;
    IF source.finished_at IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'CL112', MESSAGE = format('run %s is %s', of_run, source.state),
            HINT = format('CALL cleanup.cancel_run(%s) ends it first.', of_run);
    END IF;
    SELECT p.database_identity INTO STRICT identity FROM cleanup.plan AS p WHERE p.plan_id = source.plan_id;
    IF NOT cleanup.is_home(identity) THEN
        RAISE EXCEPTION USING ERRCODE = 'CL107',
            MESSAGE = format('plan %s was made in database %s of another server', source.plan_id, identity ->> 'database_name'),
            HINT = 'connect to that database; where this one takes its place: cleanup init --moved-here REASON.';
    END IF;
    -- Another job may be about to create one, or to close it, or to purge what it would read.
    PERFORM cleanup.lock_plan(source.plan_id);
    SELECT * INTO past FROM cleanup.purge_in_force(of_run);
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'CL114', MESSAGE = format('the log of run %s was purged at %s', of_run, past.purged_at),
            HINT = '`cleanup rollback RUN --archive DIR` takes the log from an archive.';
    END IF;
    SELECT * INTO rollback FROM cleanup.run AS r
     WHERE r.source_run_id = of_run AND r.kind = 'rollback' AND r.finished_at IS NULL;
    IF FOUND THEN
        IF rollback.selection <> '{}' THEN
            RAISE EXCEPTION USING ERRCODE = 'CL113',
                MESSAGE = format('run %s is rolling back a part of run %s: %s', rollback.run_id, of_run, rollback.selection),
                HINT = format('go on with it by `cleanup rollback`, or CALL cleanup.cancel_run(%s) first.', rollback.run_id);
        END IF;
        UPDATE cleanup.run AS r SET state = 'running' WHERE r.run_id = rollback.run_id AND r.state = 'interrupted';
        RETURN rollback.run_id;
    END IF;
    INSERT INTO cleanup.run (kind, plan_id, source_run_id, selection, planned, retention_days, code_version)
    SELECT 'rollback', source.plan_id, of_run, '{}', (SELECT coalesce(sum(b.log_rows), 0) FROM cleanup.batch AS b WHERE b.run_id = of_run),
           source.retention_days, format('psql, ledger %s', max(m.migration_number))
      FROM cleanup.migration AS m
    RETURNING * INTO rollback;
    PERFORM cleanup.add_log_partition(rollback.run_id);
    INSERT INTO cleanup.run_chunk (run_id, chunk_number, leaf_number, after_number, through_number)
    SELECT rollback.run_id, c.chunk_number, c.leaf_number, c.after_number, c.through_number
      FROM cleanup.run_chunk AS c WHERE c.run_id = of_run;
    INSERT INTO cleanup.event (run_id, name, detail)
    VALUES (rollback.run_id, 'run.created',
            jsonb_build_object('source_run', of_run, 'by', session_user || ', by psql', 'reason', coalesce(why, '')));
    PERFORM cleanup.mark_wal(rollback.run_id, 'start');
    RETURN rollback.run_id;
END $$;

-- Whether the next batch of a rollback may open, and what holds it up. A job that watches the run has the word; where
-- there is none, nobody looks at the signals, and this says so.
CREATE FUNCTION cleanup.look_at_rollback(of_run bigint, OUT is_over boolean, OUT held_by text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO cleanup.throttle AS t (run_id, since, signals, not_before, reader)
    VALUES (of_run, clock_timestamp(), '[]', '-infinity', 'psql ' || pg_backend_pid())
    ON CONFLICT (run_id) DO UPDATE
       SET reason = NULL, signals = '[]', wal_bytes_per_second = NULL, not_before = '-infinity', reader = excluded.reader,
           read_at = clock_timestamp(), since = CASE WHEN t.reason IS NULL THEN t.since ELSE excluded.since END
     WHERE t.reader = excluded.reader OR t.read_at < clock_timestamp() - interval '15 seconds';
    SELECT r.state <> 'running' OR k.wish = 'cancel',
           CASE WHEN k.wish = 'pause' THEN format('paused by %s: %s', k.asked_by, k.reason)
                WHEN NOT cleanup.may_write(of_run) THEN coalesce(t.reason, 'the WAL limit') END
      INTO is_over, held_by
      FROM cleanup.run AS r
      LEFT JOIN cleanup.control AS k ON k.run_id = r.run_id
      LEFT JOIN cleanup.throttle AS t ON t.run_id = r.run_id
     WHERE r.run_id = of_run;
    is_over := coalesce(is_over, false);
END $$;

-- Keeps the chunk that this session works on, or takes the first that nobody does; each batch holds its row, so that no
-- other lane can.
CREATE FUNCTION cleanup.hold_chunk(of_run bigint) RETURNS SETOF cleanup.run_chunk LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
    WITH ours AS (SELECT a.pid, a.backend_start FROM pg_stat_activity AS a WHERE a.pid = pg_backend_pid())
    UPDATE cleanup.run_chunk AS c
       SET state = 'claimed', lease_until = clock_timestamp() + interval '60 seconds', lease_pid = ours.pid,
           lease_backend = ours.backend_start,
           attempt = c.attempt + CASE WHEN c.state = 'claimed' AND c.lease_pid = ours.pid AND c.lease_backend = ours.backend_start
                                      THEN 0 ELSE 1 END
      FROM ours
     WHERE (c.run_id, c.chunk_number) = (
            SELECT d.run_id, d.chunk_number FROM cleanup.run_chunk AS d
             WHERE d.run_id = of_run
               AND (d.state = 'open'
                    OR d.state = 'claimed' AND (d.lease_pid = pg_backend_pid()
                                                OR NOT cleanup.lease_is_alive(d.lease_until, d.lease_pid, d.lease_backend)))
             ORDER BY d.state = 'claimed' AND d.lease_pid = pg_backend_pid() DESC, d.pass, d.chunk_number
             LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING c.*
$$;

-- The log rows that a pass over a chunk has to settle next.
CREATE FUNCTION cleanup.next_of_chunk(chunk cleanup.run_chunk, of_source bigint, at_most int) RETURNS bigint[] LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    WITH place AS (
        SELECT coalesce(max(b.through_number), chunk.after_number) AS number FROM cleanup.batch AS b
         WHERE b.run_id = chunk.run_id AND b.pass = chunk.pass
           AND b.after_number >= chunk.after_number AND b.after_number < chunk.through_number)
    SELECT place.number || array_agg(n.finding_number ORDER BY n.finding_number)
      FROM place
      LEFT JOIN LATERAL (
            SELECT g.finding_number FROM cleanup.change_log AS g
             WHERE chunk.pass = 0 AND g.run_id = of_source
               AND g.finding_number > place.number AND g.finding_number <= chunk.through_number
            UNION ALL
            SELECT d.finding_number FROM cleanup.deferral AS d
             WHERE chunk.pass > 0 AND d.run_id = chunk.run_id AND d.pass = chunk.pass
               AND d.finding_number > place.number AND d.finding_number <= chunk.through_number
             ORDER BY 1 LIMIT at_most) AS n ON true
     GROUP BY place.number
$$;

-- Claims the next batch of a rollback, before any row of the posts is locked, and says what is to be done next: `write`
-- the batch, `go_on` to another, `wait` for other lanes or for who holds rows, or `close` the run.
CREATE FUNCTION cleanup.open_rollback_batch(of_run bigint, of_source bigint, at_most int, OUT step text, OUT batch cleanup.batch)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    chunk    cleanup.run_chunk;
    numbers  bigint[];
    deferred boolean;
BEGIN
    SELECT * INTO chunk FROM cleanup.hold_chunk(of_run);
    IF NOT FOUND THEN
        step := CASE WHEN EXISTS (SELECT FROM cleanup.run_chunk AS c WHERE c.run_id = of_run AND c.state <> 'done')
                     THEN 'wait' ELSE 'close' END;
        RETURN;
    END IF;
    numbers := cleanup.next_of_chunk(chunk, of_source, at_most);
    IF numbers[2] IS NULL THEN
        deferred := EXISTS (SELECT FROM cleanup.deferral AS d
                             WHERE d.run_id = of_run AND d.pass = chunk.pass + 1
                               AND d.finding_number > chunk.after_number AND d.finding_number <= chunk.through_number);
        UPDATE cleanup.run_chunk AS c
           SET state = CASE WHEN deferred THEN 'open' ELSE 'done' END, pass = c.pass + deferred::int
         WHERE c.run_id = of_run AND c.chunk_number = chunk.chunk_number;
        step := CASE WHEN deferred THEN 'wait' ELSE 'go_on' END;
        RETURN;
    END IF;
    -- First of what the batch writes, so that a lane that tries the same one waits for the fate of this. The run can
    -- not be closed while it is open.
    INSERT INTO cleanup.batch (run_id, pass, after_number, through_number, chunk_number, attempt, lane, findings)
    SELECT r.run_id, chunk.pass, numbers[1], numbers[cardinality(numbers)], chunk.chunk_number, chunk.attempt, 0,
           cardinality(numbers) - 1
      FROM cleanup.run AS r
     WHERE r.run_id = of_run AND r.state = 'running' AND cleanup.may_write(of_run)
       AND NOT EXISTS (SELECT FROM cleanup.control AS k WHERE k.run_id = of_run AND k.wish <> 'go')
       FOR SHARE OF r
    RETURNING * INTO batch;
    step := CASE WHEN FOUND THEN 'write' ELSE 'go_on' END;
END $$;

-- What becomes of one logged value, given the text that stands there under our lock: the text to put back, or the
-- outcome of a value that is left. Restored is what is still just as we wrote it, by the newest of all runs' log rows;
-- what somebody wrote since is never touched.
CREATE FUNCTION cleanup.judge_restore(item cleanup.change_log, present text, OUT outcome text, OUT restored text,
                                      OUT edited boolean, OUT conflict text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    present_hash bytea := cleanup.value_hash(present);
    newest_hash  bytea;
BEGIN
    edited := false;
    IF present_hash = item.hash_before THEN
        outcome := 'already_restored';
        RETURN;
    END IF;
    SELECT g.hash_after INTO STRICT newest_hash FROM cleanup.change_log AS g
     WHERE g.value_id = item.value_id AND g.key = item.key AND g.logged_at >= item.logged_at
     ORDER BY g.logged_at DESC, g.run_id DESC LIMIT 1;
    edited := newest_hash <> present_hash;
    outcome := 'conflict';
    conflict := 'not_as_written';
    IF present_hash = item.hash_after AND NOT edited THEN
        restored := cleanup.text_before(coalesce(present, ''), item.edits);
        IF restored = '' COLLATE "C" AND item.hash_before = cleanup.value_hash(NULL) THEN
            restored := NULL;
        END IF;
        outcome := 'restored';
        conflict := NULL;
        IF cleanup.value_hash(restored) <> item.hash_before THEN
            outcome := 'conflict';
            conflict := 'log_differs';
        END IF;
    END IF;
END $$;

-- Writes one row of a batch: all of its values at once, and only where each is still what it was judged on. Raises CL001
-- where the server makes something else of one of them.
CREATE FUNCTION cleanup.restore_row(place cleanup.leaf_place, row_key text[], restored text[], entries cleanup.change_log[])
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    statement text;
    intact    boolean;
BEGIN
    SELECT format('UPDATE ONLY %s AS t SET %s WHERE %s AND %s RETURNING %s', place.name,
                  string_agg(format('%I = ($2)[%s]%s', e.name, e.number, e.cast_to), ', '), place.key_match,
                  string_agg(format('cleanup.value_hash(t.%I::text) = (($3)[%s]).hash_before', e.name, e.number), ' AND '),
                  string_agg(format('cleanup.value_hash(t.%I::text) = (($3)[%s]).hash_after', e.name, e.number), ' AND '))
      INTO statement
      FROM (SELECT place.columns[u.column_number + 1] AS name, place.casts[u.column_number + 1] AS cast_to, u.number
              FROM (SELECT (entries[n.number]).column_number, n.number
                      FROM generate_subscripts(entries, 1) AS n(number)) AS u) AS e;
    EXECUTE statement INTO intact USING row_key, restored, entries;
    PERFORM cleanup.require_written(1, coalesce(intact::int, 0));
    -- Deferred constraints speak up here, where a refused row can still be told from the others.
    SET CONSTRAINTS ALL IMMEDIATE;
END $$;

-- Whether an error is about the row that was written: a constraint, a length, a trigger. Writing row by row helps then.
CREATE FUNCTION cleanup.is_refusal(state text) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT left(state, 2) <> ALL ('{08,0A,25,26,28,2D,3D,3F,40,42,53,54,55,57,58,F0,XX}')
$$;

-- The work on one batch, whose row is inserted already: locks each row that nobody holds, restores what can be restored,
-- and writes log, outcomes and checkpoint. All within the caller's transaction.
CREATE FUNCTION cleanup.write_rollback_batch(batch cleanup.batch, one_by_one boolean) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- As the program's default: what is held in so many passes is locked out.
    last_pass CONSTANT int := 2;
    run     cleanup.run;
    place   cleanup.leaf_place;
    leaf    int := -1;
    post    record;
    texts   text[];
    item    cleanup.change_log;
    verdict record;
    entries cleanup.change_log[];
    entry   cleanup.change_log;
    restored text[];
    chain   bytea := decode(repeat('00', 32), 'hex');
    edited  int := 0;
    left_as text;
    detail  text;
BEGIN
    SELECT * INTO STRICT run FROM cleanup.run AS r WHERE r.run_id = batch.run_id;
    FOR post IN
        SELECT g.leaf_number, g.key, array_agg(g.finding_number ORDER BY g.finding_number) AS numbers
          FROM cleanup.change_log AS g
         WHERE g.run_id = run.source_run_id
           AND g.finding_number > batch.after_number AND g.finding_number <= batch.through_number
           AND (batch.pass = 0 OR EXISTS (SELECT FROM cleanup.deferral AS d
                                           WHERE d.run_id = batch.run_id AND d.pass = batch.pass
                                             AND d.finding_number = g.finding_number))
         GROUP BY g.leaf_number, g.key ORDER BY min(g.finding_number) LOOP
        IF post.leaf_number <> leaf THEN
            leaf := post.leaf_number;
            SELECT * INTO place FROM cleanup.leaf_today(run.plan_id, leaf);
        END IF;
        -- Rows that an author holds are left out rather than waited for.
        EXECUTE format('SELECT ARRAY[%s] FROM ONLY %s AS t WHERE %s FOR NO KEY UPDATE SKIP LOCKED',
                       (SELECT string_agg(format('t.%I::text', c.name), ', ' ORDER BY c.place)
                          FROM unnest(place.columns) WITH ORDINALITY AS c(name, place)), place.name, place.key_match)
           INTO texts USING post.key;
        IF texts IS NULL THEN
            EXECUTE format('SELECT ''locked_out'' FROM ONLY %s AS t WHERE %s', place.name, place.key_match)
               INTO left_as USING post.key;
            IF left_as IS NULL OR batch.pass >= last_pass THEN
                INSERT INTO cleanup.outcome (run_id, finding_number, pass, outcome)
                SELECT batch.run_id, n.number, batch.pass, coalesce(left_as, 'row_gone') FROM unnest(post.numbers) AS n(number);
            ELSE
                INSERT INTO cleanup.deferral (run_id, pass, finding_number)
                SELECT batch.run_id, batch.pass + 1, n.number FROM unnest(post.numbers) AS n(number);
            END IF;
            CONTINUE;
        END IF;
        entries := '{}';
        restored := '{}';
        FOR item IN SELECT g.* FROM cleanup.change_log AS g
                     WHERE g.run_id = run.source_run_id AND g.finding_number = ANY (post.numbers) ORDER BY g.finding_number LOOP
            SELECT * INTO verdict FROM cleanup.judge_restore(item, texts[item.column_number + 1]);
            edited := edited + verdict.edited::int;
            IF verdict.outcome <> 'restored' THEN
                INSERT INTO cleanup.outcome (run_id, finding_number, pass, outcome)
                VALUES (batch.run_id, item.finding_number, batch.pass, verdict.outcome);
                INSERT INTO cleanup.conflict (run_id, finding_number, link_number, reason)
                SELECT DISTINCT batch.run_id, item.finding_number, (e.edit ->> 3)::smallint, verdict.conflict
                  FROM json_array_elements(item.edits::json) AS e(edit) WHERE verdict.conflict IS NOT NULL;
                CONTINUE;
            END IF;
            entry := item;
            entry.run_id := batch.run_id;
            entry.pass := batch.pass;
            entry.outcome := 'restored';
            entry.hash_before := item.hash_after;
            entry.hash_after := item.hash_before;
            entry.salt := uuid_send(gen_random_uuid());
            entry.edits := cleanup.swapped_edits(item.edits, coalesce(verdict.restored, ''));
            entries := array_append(entries, entry);
            restored := array_append(restored, verdict.restored);
        END LOOP;
        IF cardinality(entries) = 0 THEN
            CONTINUE;
        END IF;
        detail := NULL;
        IF one_by_one THEN
            BEGIN
                PERFORM cleanup.restore_row(place, post.key, restored, entries);
            EXCEPTION WHEN OTHERS THEN
                IF NOT cleanup.is_refusal(SQLSTATE) THEN
                    RAISE;
                END IF;
                detail := CASE SQLSTATE WHEN 'CL001' THEN 'a trigger refused or altered the row' ELSE 'SQLSTATE ' || SQLSTATE END;
            END;
        ELSE
            PERFORM cleanup.restore_row(place, post.key, restored, entries);
        END IF;
        FOREACH entry IN ARRAY entries LOOP
            IF detail IS NOT NULL THEN
                INSERT INTO cleanup.outcome (run_id, finding_number, pass, outcome, detail)
                VALUES (batch.run_id, entry.finding_number, batch.pass, 'refused_by_database', detail);
                CONTINUE;
            END IF;
            -- Later than whatever was logged of this value before, since its row is locked.
            entry.logged_at := clock_timestamp();
            entry.chain := cleanup.chain_of(chain, entry);
            chain := entry.chain;
            INSERT INTO cleanup.change_log SELECT entry.*;
        END LOOP;
    END LOOP;
    PERFORM cleanup.settle_rollback_batch(batch, run.source_run_id, edited, chain);
END $$;

-- The checkpoint of a batch: what it came to, and its head over the end of its chain and all else that it wrote.
CREATE FUNCTION cleanup.settle_rollback_batch(batch cleanup.batch, of_source bigint, edited_rows int, chain bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    settled   record;
    unchanged text;
    conflicts text;
    deferrals text;
BEGIN
    SELECT coalesce(jsonb_object_agg(o.outcome, o.findings), '{}') AS outcomes,
           coalesce(jsonb_object_agg(o.outcome, o.links), '{}') AS links,
           -- Spelled as the program does, in the order of the letters' bytes.
           coalesce(string_agg(format('"%s":%s', o.outcome, o.findings), ',' ORDER BY o.outcome COLLATE "C"), '') AS said_outcomes,
           coalesce(string_agg(format('"%s":%s', o.outcome, o.links), ',' ORDER BY o.outcome COLLATE "C"), '') AS said_links,
           coalesce(sum(o.log_rows), 0)::int AS log_rows
      INTO settled
      FROM (SELECT w.outcome, count(*) AS findings, sum(json_array_length(s.edits::json)) AS links, sum(w.is_logged) AS log_rows
              FROM (SELECT g.finding_number, g.outcome, 1 AS is_logged FROM cleanup.change_log AS g
                     WHERE g.run_id = batch.run_id AND g.pass = batch.pass
                       AND g.finding_number > batch.after_number AND g.finding_number <= batch.through_number
                    UNION ALL
                    SELECT u.finding_number, u.outcome, 0 FROM cleanup.outcome AS u
                     WHERE u.run_id = batch.run_id AND u.pass = batch.pass
                       AND u.finding_number > batch.after_number AND u.finding_number <= batch.through_number) AS w
              JOIN cleanup.change_log AS s ON s.run_id = of_source AND s.finding_number = w.finding_number
             GROUP BY w.outcome) AS o;
    SELECT coalesce(string_agg(format('[%s,"%s",%s]', u.finding_number, u.outcome, coalesce(to_json(u.detail)::text, 'null')), ','
                               ORDER BY u.finding_number), '') INTO unchanged
      FROM cleanup.outcome AS u
     WHERE u.run_id = batch.run_id AND u.pass = batch.pass
       AND u.finding_number > batch.after_number AND u.finding_number <= batch.through_number;
    SELECT coalesce(string_agg(format('[%s,%s,"%s"]', c.finding_number, c.link_number, c.reason), ','
                               ORDER BY c.finding_number, c.link_number), '') INTO conflicts
      FROM cleanup.conflict AS c
      JOIN cleanup.outcome AS u ON u.run_id = c.run_id AND u.finding_number = c.finding_number AND u.pass = batch.pass
     WHERE c.run_id = batch.run_id AND c.finding_number > batch.after_number AND c.finding_number <= batch.through_number;
    SELECT coalesce(string_agg(d.finding_number::text, ',' ORDER BY d.finding_number), '') INTO deferrals
      FROM cleanup.deferral AS d
     WHERE d.run_id = batch.run_id AND d.pass = batch.pass + 1
       AND d.finding_number > batch.after_number AND d.finding_number <= batch.through_number;
    UPDATE cleanup.batch AS b
       SET outcomes = settled.outcomes, span_outcomes = settled.links, edited = edited_rows, log_rows = settled.log_rows,
           lock_ms = extract(epoch FROM clock_timestamp() - now()) * 1000,
           head = sha256(convert_to(format(
               '["%s",%s,%s,%s,%s,%s,%s,%s,%s,{%s},{%s},%s,%s,[%s],[%s],[%s]]', encode(chain, 'hex'), batch.run_id, batch.pass,
               batch.after_number, batch.through_number, batch.chunk_number, batch.attempt, batch.lane, batch.findings,
               settled.said_outcomes, settled.said_links, edited_rows, settled.log_rows, unchanged, conflicts, deferrals), 'UTF8'))
     WHERE b.run_id = batch.run_id AND b.pass = batch.pass AND b.after_number = batch.after_number;
END $$;

-- Rolls a whole run back: CALL cleanup.roll_back_run(1, 'the wrong policy'). Each batch commits by itself, so it is not
-- for a transaction block; interrupted in any way, the same CALL goes on. Watch it and pause it as any run.
CREATE PROCEDURE cleanup.roll_back_run(of_run bigint, reason text DEFAULT NULL, batch_rows_max int DEFAULT 500,
                                       INOUT rollback_run bigint DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    -- In seconds, as the program's default.
    lock_target CONSTANT numeric := 0.25;
    rows_each_at_most CONSTANT int := 50;
    batch_rows int;
    one_by_one boolean := false;
    failures   int := 0;
    gate       record;
    said       text;
    opened     record;
    began      timestamptz;
    elapsed    interval;
    state      text;
    problem    text;
    words      text;
BEGIN
    -- Where this is refused, nothing has been done yet.
    COMMIT;
    PERFORM cleanup.limit_batch();
    batch_rows := greatest(1, least(100, batch_rows_max));
    rollback_run := cleanup.open_rollback(of_run, reason);
    COMMIT;
    RAISE NOTICE 'run % rolls back run %', rollback_run, of_run;
    LOOP
        PERFORM cleanup.limit_batch();
        SELECT * INTO gate FROM cleanup.look_at_rollback(rollback_run);
        EXIT WHEN gate.is_over;
        IF gate.held_by IS DISTINCT FROM said THEN
            said := gate.held_by;
            RAISE NOTICE 'run % %', rollback_run, coalesce('is held: ' || said, 'goes on');
        END IF;
        COMMIT;
        IF said IS NOT NULL THEN
            PERFORM pg_catalog.pg_sleep(1);
            COMMIT;
            CONTINUE;
        END IF;
        PERFORM cleanup.limit_batch();
        began := clock_timestamp();
        SELECT * INTO opened
          FROM cleanup.open_rollback_batch(rollback_run, of_run,
                                           CASE WHEN one_by_one THEN least(batch_rows, rows_each_at_most) ELSE batch_rows END);
        IF opened.step = 'close' THEN
            PERFORM cleanup.close_run(rollback_run, 'finished');
            EXIT;
        ELSIF opened.step <> 'write' THEN
            COMMIT;
            IF opened.step = 'wait' THEN
                PERFORM pg_catalog.pg_sleep(0.5);
                COMMIT;
            END IF;
            CONTINUE;
        END IF;
        problem := NULL;
        BEGIN
            PERFORM cleanup.write_rollback_batch(opened.batch, one_by_one);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS problem = RETURNED_SQLSTATE, words = MESSAGE_TEXT;
        END;
        IF problem IS NULL THEN
            COMMIT;
            elapsed := clock_timestamp() - began;
            batch_rows := greatest(1, least(batch_rows_max, batch_rows * least(2, lock_target / greatest(
                0.001, extract(epoch FROM elapsed)))));
            -- As long as authors may have waited, the server is left alone.
            PERFORM pg_catalog.pg_sleep_for(elapsed);
            one_by_one := false;
            failures := 0;
            COMMIT;
            CONTINUE;
        END IF;
        ROLLBACK;
        IF problem IN ('40001', '40P01', '55P03') AND failures < 20 THEN
            failures := failures + 1;
            batch_rows := greatest(1, batch_rows / 2);
            PERFORM pg_catalog.pg_sleep(0.2);
            COMMIT;
        ELSIF cleanup.is_refusal(problem) AND NOT one_by_one THEN
            one_by_one := true;
        ELSE
            RAISE EXCEPTION USING ERRCODE = problem,
                MESSAGE = CASE WHEN cleanup.is_refusal(problem) THEN 'the database refused a value' ELSE words END,
                HINT = pg_catalog.format('nothing of this batch was written; mend the cause, then the same CALL goes on with run %s.',
                                         rollback_run);
        END IF;
    END LOOP;
    COMMIT;
    PERFORM cleanup.limit_batch();
    SELECT r.state INTO state FROM cleanup.run AS r WHERE r.run_id = rollback_run;
    IF state = 'running' THEN
        -- Somebody has cancelled it; who comes first closes it.
        PERFORM cleanup.close_run(rollback_run, 'cancelled');
        state := 'cancelled';
    END IF;
    RAISE NOTICE 'run % is %; sql/reports/outcomes.sql and left.sql say what it came to', rollback_run, state;
END $$;

REVOKE EXECUTE ON PROCEDURE cleanup.pause_run(bigint, text, text), cleanup.resume_run(bigint, text, text),
    cleanup.cancel_run(bigint, text, text), cleanup.roll_back_run(bigint, text, int, bigint) FROM PUBLIC;

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
