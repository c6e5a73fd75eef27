-- name: boundary
-- Keyset: the key of the row a chunk's length behind the checkpoint; read from the index alone, nothing is sorted.
SELECT /*{key_texts}*/ ARRAY[k.id::text] /*{/key_texts}*/
  FROM (SELECT /*{key}*/ t.id /*{/key}*/
          FROM ONLY /*{leaf}*/ cleanup.example /*{/leaf}*/ AS t
         WHERE /*{range}*/ true /*{/range}*/
         ORDER BY /*{key}*/ t.id /*{/key}*/
        OFFSET %(rows)s - 1 LIMIT 1) AS k;

-- name: rows
-- What a scan reads of each row: its scope and its texts, then when and by whom it was written, and its key, which only
-- those with findings are taken apart for. Sent by COPY.
SELECT /*{scope}*/ 'h--' /*{/scope}*/,
       /*{texts}*/ t.body::text /*{/texts}*/,
       /*{created_at}*/ t.created_at /*{/created_at}*/,
       /*{author}*/ t.author_id::text /*{/author}*/,
       /*{key_texts}*/ t.id::text /*{/key_texts}*/
  FROM ONLY /*{leaf}*/ cleanup.example /*{/leaf}*/ AS t
 WHERE /*{range}*/ true /*{/range}*/;

-- name: lock_and_read
-- A batch's rows in key order; rows that an author holds are left out rather than waited for.
SELECT i.cleanup_place, /*{scope}*/ 'h--' /*{/scope}*/, /*{texts}*/ t.body::text /*{/texts}*/
  FROM unnest(/*{key_arrays}*/ %(k0)s::text[] /*{/key_arrays}*/) WITH ORDINALITY AS i(/*{key_names}*/ cleanup_k0 /*{/key_names}*/, cleanup_place)
  JOIN ONLY /*{leaf}*/ cleanup.example /*{/leaf}*/ AS t ON /*{key_match}*/ t.id = i.cleanup_k0::bigint /*{/key_match}*/
 ORDER BY i.cleanup_place
   FOR NO KEY UPDATE OF t SKIP LOCKED;

-- name: read
-- Rows as they are, without a lock: what a rollback would meet.
SELECT i.cleanup_place, /*{scope}*/ 'h--' /*{/scope}*/, /*{texts}*/ t.body::text /*{/texts}*/
  FROM unnest(/*{key_arrays}*/ %(k0)s::text[] /*{/key_arrays}*/) WITH ORDINALITY AS i(/*{key_names}*/ cleanup_k0 /*{/key_names}*/, cleanup_place)
  JOIN ONLY /*{leaf}*/ cleanup.example /*{/leaf}*/ AS t ON /*{key_match}*/ t.id = i.cleanup_k0::bigint /*{/key_match}*/;

-- name: still_there
-- Which of the rows that the batch could not lock exist at all: the others are gone.
SELECT i.cleanup_place
  FROM unnest(/*{key_arrays}*/ %(k0)s::text[] /*{/key_arrays}*/) WITH ORDINALITY AS i(/*{key_names}*/ cleanup_k0 /*{/key_names}*/, cleanup_place)
  JOIN ONLY /*{leaf}*/ cleanup.example /*{/leaf}*/ AS t ON /*{key_match}*/ t.id = i.cleanup_k0::bigint /*{/key_match}*/;

-- name: write
-- The whole batch at once, under the locks taken before. Fails unless every row came out as computed.
WITH written AS (
    UPDATE ONLY /*{leaf}*/ cleanup.example /*{/leaf}*/ AS t
       SET /*{assignments}*/ body = i.cleanup_v0 /*{/assignments}*/
      FROM unnest(/*{key_arrays}*/ %(k0)s::text[] /*{/key_arrays}*/, /*{value_arrays}*/ %(v0)s::text[], %(h0)s::bytea[] /*{/value_arrays}*/)
           AS i(/*{key_names}*/ cleanup_k0 /*{/key_names}*/, /*{value_names}*/ cleanup_v0, cleanup_h0 /*{/value_names}*/)
     WHERE /*{key_match}*/ t.id = i.cleanup_k0::bigint /*{/key_match}*/
    RETURNING /*{intact}*/ sha256(convert_to(t.body::text, 'UTF8')) IS NOT DISTINCT FROM i.cleanup_h0 /*{/intact}*/ AS intact)
SELECT cleanup.require_written(%(rows)s, count(*) FILTER (WHERE intact)) FROM written;

-- name: write_one
-- One row by itself, where the batch as a whole was refused; says what the server made of it.
UPDATE ONLY /*{leaf}*/ cleanup.example /*{/leaf}*/ AS t
   SET /*{assignments}*/ body = i.cleanup_v0 /*{/assignments}*/
  FROM unnest(/*{key_arrays}*/ %(k0)s::text[] /*{/key_arrays}*/, /*{value_arrays}*/ %(v0)s::text[], %(h0)s::bytea[] /*{/value_arrays}*/)
       AS i(/*{key_names}*/ cleanup_k0 /*{/key_names}*/, /*{value_names}*/ cleanup_v0, cleanup_h0 /*{/value_names}*/)
 WHERE /*{key_match}*/ t.id = i.cleanup_k0::bigint /*{/key_match}*/
RETURNING /*{hashes}*/ sha256(convert_to(t.body::text, 'UTF8')) /*{/hashes}*/;

-- name: hashes
-- The drift sample: what the planned values hash to now. Reads, locks nothing.
SELECT i.cleanup_place, /*{hashes}*/ sha256(convert_to(t.body::text, 'UTF8')) /*{/hashes}*/
  FROM unnest(/*{key_arrays}*/ %(k0)s::text[] /*{/key_arrays}*/) WITH ORDINALITY AS i(/*{key_names}*/ cleanup_k0 /*{/key_names}*/, cleanup_place)
  JOIN ONLY /*{leaf}*/ cleanup.example /*{/leaf}*/ AS t ON /*{key_match}*/ t.id = i.cleanup_k0::bigint /*{/key_match}*/;
