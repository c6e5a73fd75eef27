-- The ledger: everything cleanup knows lives here, beside the posts, so that one transaction can hold
-- a change, its log and its checkpoint. Closed sets are CHECKs; the code has the same sets with a reason per arrow.
-- Tables are here; what is called is in 0002 and 0003, and what keeps evidence as it was written in 0004.

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
    words             text[] NOT NULL,
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
COMMENT ON COLUMN cleanup.plan.words IS 'What spans and edits mostly say: a number in their JSON stands for the word in that place, from 0 on.';
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

-- A finding: one column of one row with its spans. It holds offsets and what is put there, never a post's text. Each
-- plan's partition has the finding number as its primary key. Wide columns come first, so that nothing is padded, and
-- what is the same in each row of a partition takes half of the bytes that it has elsewhere.
CREATE TABLE cleanup.finding (
    finding_number bigint NOT NULL,
    created_at     timestamptz,
    plan_id        int NOT NULL,
    leaf_number    smallint NOT NULL,
    column_number  smallint NOT NULL,
    actionable     boolean NOT NULL,
    scope          text NOT NULL CHECK (scope IN ('historical', 'exempt', 'after_cutover', 'undated')),
    refusal        text CHECK (refusal IN ('too_long', 'unreadable')),
    key            text COLLATE "C" NOT NULL,
    author         text,
    value_hash     bytea NOT NULL,
    finding_hash   bytea NOT NULL,
    spans          text NOT NULL
) PARTITION BY LIST (plan_id);
COMMENT ON COLUMN cleanup.finding.finding_number IS 'Chunk number times 10^7 plus place in the chunk: rises in key order, with gaps.';
COMMENT ON COLUMN cleanup.finding.key IS 'JSON: the values of the key''s columns as texts, in the order of its index.';
COMMENT ON COLUMN cleanup.finding.finding_hash IS 'First 8 bytes of a hash over all that the plan says of the value: names the
finding that was changed. The digest of the plan is made of the whole hashes, computed anew.';
COMMENT ON COLUMN cleanup.finding.spans IS 'JSON: [[start, end, platform, kind, decision, reason, host, replacement or null], ...], in code points; what is a
word of the plan as its number. The view cleanup.span has it in plain text.';

-- Every outermost span of every finding, in plain text.
CREATE VIEW cleanup.span AS
WITH word AS (
    SELECT p.plan_id, w.word, to_jsonb(w.place - 1) AS number FROM cleanup.plan AS p CROSS JOIN LATERAL unnest(p.words)
      WITH ORDINALITY AS w(word, place))
SELECT f.plan_id, f.finding_number, s.place - 1 AS span_number, f.leaf_number, f.column_number, f.scope, f.actionable,
       f.created_at, f.author, f.finding_hash, (s.span ->> 0)::bigint AS begins, (s.span ->> 1)::bigint AS ends,
       coalesce(platform.word, s.span ->> 2) AS platform, coalesce(kind.word, s.span ->> 3) AS kind,
       coalesce(decision.word, s.span ->> 4) AS decision, coalesce(reason.word, s.span ->> 5) AS reason,
       coalesce(host.word, s.span ->> 6) AS host, coalesce(replacement.word, s.span ->> 7) AS replacement
  FROM cleanup.finding AS f
 CROSS JOIN LATERAL jsonb_array_elements(f.spans::jsonb) WITH ORDINALITY AS s(span, place)
  LEFT JOIN word AS platform ON platform.plan_id = f.plan_id AND platform.number = s.span -> 2
  LEFT JOIN word AS kind ON kind.plan_id = f.plan_id AND kind.number = s.span -> 3
  LEFT JOIN word AS decision ON decision.plan_id = f.plan_id AND decision.number = s.span -> 4
  LEFT JOIN word AS reason ON reason.plan_id = f.plan_id AND reason.number = s.span -> 5
  LEFT JOIN word AS host ON host.plan_id = f.plan_id AND host.number = s.span -> 6
  LEFT JOIN word AS replacement ON replacement.plan_id = f.plan_id AND replacement.number = s.span -> 7;

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

-- The change log: for each changed value what stood there, what stands there now, and the hashes that prove it. Each
-- run's partition has the finding number as its primary key; its columns are in the order of those above.
CREATE TABLE cleanup.change_log (
    finding_number bigint NOT NULL,
    created_at     timestamptz,
    logged_at      timestamptz NOT NULL,
    run_id         int NOT NULL,
    pass           smallint NOT NULL,
    leaf_number    smallint NOT NULL,
    column_number  smallint NOT NULL,
    outcome        text NOT NULL CHECK (outcome IN ('changed', 'changed_after_edit', 'altered_by_trigger',
                                                    'restored', 'restored_after_edit', 'restored_in_part')),
    key            text COLLATE "C" NOT NULL,
    author         text,
    hash_before    bytea NOT NULL,
    hash_after     bytea NOT NULL,
    salt           bytea NOT NULL,
    chain          bytea NOT NULL,
    edits          text NOT NULL
) PARTITION BY LIST (run_id);
-- Finds every log row of one value; a hash, since keys may be longer than what an index holds.
CREATE INDEX change_log_key ON cleanup.change_log (hashtext(key));
COMMENT ON TABLE cleanup.change_log IS 'Sensitive: holds the removed links. One partition a run.';
COMMENT ON COLUMN cleanup.change_log.key IS 'JSON: the values of the key''s columns as texts, in the order of its index.';
COMMENT ON COLUMN cleanup.change_log.edits IS 'JSON: [[start after the change, removed text, text that stands there now, number of the link,
platform/kind/decision, hashes of what stands before and behind], ...], in code points; a word of the plan as its number.';
COMMENT ON COLUMN cleanup.change_log.chain IS 'First 4 bytes of a hash over the row and the chain value of the row before it in the
batch: names the row that was changed. The head of the batch is made of the whole digests of its rows.';
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
