-- The rollback of a whole run without the program, for who has psql and nothing else. It restores what
-- still stands as the run left it, exactly; anything else is a conflict, which `cleanup rollback` may place later. What
-- it writes to the ledger is what a lane of that verb writes: either goes on with a rollback that the other has begun.

-- The hash of a value; NULL has one of its own.
CREATE FUNCTION cleanup.value_hash(value text) RETURNS bytea LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sha256(convert_to(value, 'UTF8')), decode(repeat('00', 32), 'hex'))
$$;

-- The text before a change, from the text after it and the logged edits; NULL where an inserted text is not in its place.
CREATE FUNCTION cleanup.text_before(after text, edits text, words text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    edit     record;
    position int := 0;
    before   text := '';
BEGIN
    FOR edit IN SELECT (e.edit ->> 0)::int AS start, cleanup.said(e.edit -> 1, words) AS removed,
                       cleanup.said(e.edit -> 2, words) AS inserted
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

-- Both sides of an edit in the log's form: base64 of their 22 hexadecimal digits, safe in URLs and without padding.
CREATE FUNCTION cleanup.surroundings(before text, behind text) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT rtrim(translate(encode(decode(before || behind, 'hex'), 'base64'), '+/', '-_'), '=')
$$;

-- The edits that lead back from what a restore puts there: a change of its own, logged as each change is.
CREATE FUNCTION cleanup.swapped_edits(edits text, restored text, words text[]) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    WITH logged AS (
        SELECT e.place, (e.edit ->> 0)::int AS start, cleanup.said(e.edit -> 1, words) AS removed,
               cleanup.said(e.edit -> 2, words) AS inserted, e.edit ->> 3 AS number,
               (e.edit -> 4)::text AS label
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
    SELECT '[' || coalesce(string_agg(format('[%s,%s,%s,%s,%s,"%s"]', d.begins, cleanup.spelled(d.inserted, words),
                                             cleanup.spelled(d.removed, words), d.number, d.label,
                                             cleanup.surroundings(cleanup.side_of_edit(right(d.before, 4), d.before),
                                                                  cleanup.side_of_edit(left(d.behind, 4), d.behind))),
                                      ',' ORDER BY d.place), '') || ']'
      FROM sided AS d
$$;

-- The digest of a log row, of which its chain value and the head of its batch are made: over every column but the chain.
CREATE FUNCTION cleanup.row_digest(entry cleanup.change_log) RETURNS bytea LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT sha256(convert_to(format('(%s, %s, %s, %s, %s) %s %s %s %s %s %s', entry.run_id, entry.pass, entry.finding_number,
                                    entry.leaf_number, entry.column_number,
                                    coalesce(cleanup.spelled_instant(entry.created_at), 'None'),
                                    cleanup.spelled_instant(entry.logged_at),
                                    length(entry.hash_before), length(entry.hash_after), length(entry.salt), t.texts), 'UTF8')
               || entry.hash_before || entry.hash_after || entry.salt || sha256(entry.salt || convert_to(entry.edits, 'UTF8')))
      FROM (SELECT string_agg(coalesce(char_length(p.part) || ':' || p.part, '!None'), ' ' ORDER BY p.place) AS texts
              FROM unnest(ARRAY[entry.outcome, entry.author, entry.key]) WITH ORDINALITY AS p(part, place)) AS t
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
CREATE FUNCTION cleanup.judge_restore(item cleanup.change_log, present text, words text[], OUT outcome text, OUT restored text,
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
     WHERE hashtext(g.key) = hashtext(item.key) AND g.key = item.key AND g.logged_at >= item.logged_at
       AND cleanup.value_place(g.run_id, g.leaf_number, g.column_number)
           = cleanup.value_place(item.run_id, item.leaf_number, item.column_number)
     ORDER BY g.logged_at DESC, g.run_id DESC LIMIT 1;
    edited := newest_hash <> present_hash;
    outcome := 'conflict';
    conflict := 'not_as_written';
    IF present_hash = item.hash_after AND NOT edited THEN
        restored := cleanup.text_before(coalesce(present, ''), item.edits, words);
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
    words   text[];
    post    record;
    texts   text[];
    item    cleanup.change_log;
    verdict record;
    entries cleanup.change_log[];
    entry   cleanup.change_log;
    restored text[];
    chain   bytea := decode(repeat('00', 4), 'hex');
    digest  bytea;
    digests bytea := '';
    edited  int := 0;
    left_as text;
    detail  text;
BEGIN
    SELECT * INTO STRICT run FROM cleanup.run AS r WHERE r.run_id = batch.run_id;
    SELECT p.words INTO STRICT words FROM cleanup.plan AS p WHERE p.plan_id = run.plan_id;
    FOR post IN
        SELECT g.leaf_number, ARRAY(SELECT json_array_elements_text(g.key::json)) AS key,
               array_agg(g.finding_number ORDER BY g.finding_number) AS numbers
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
            SELECT * INTO verdict FROM cleanup.judge_restore(item, texts[item.column_number + 1], words);
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
            entry.edits := cleanup.swapped_edits(item.edits, coalesce(verdict.restored, ''), words);
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
            entry.salt := CASE digests WHEN '' THEN uuid_send(gen_random_uuid()) ELSE '' END;
            -- Later than whatever was logged of this value before, since its row is locked.
            entry.logged_at := clock_timestamp();
            digest := cleanup.row_digest(entry);
            digests := digests || digest;
            chain := substr(sha256(chain || digest), 1, 4);
            entry.chain := chain;
            INSERT INTO cleanup.change_log SELECT entry.*;
        END LOOP;
    END LOOP;
    PERFORM cleanup.settle_rollback_batch(batch, run.source_run_id, edited, sha256(digests));
END $$;

-- The checkpoint of a batch: what it came to, and its head over its log rows and all else that it wrote.
CREATE FUNCTION cleanup.settle_rollback_batch(batch cleanup.batch, of_source bigint, edited_rows int, rows_hash bytea) RETURNS void
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
               '["%s",%s,%s,%s,%s,%s,%s,%s,%s,{%s},{%s},%s,%s,[%s],[%s],[%s]]', encode(rows_hash, 'hex'), batch.run_id, batch.pass,
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
