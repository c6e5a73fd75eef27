-- name: receive
-- The generated posts, by COPY in text form.
COPY /*{table}*/ cleanup.example /*{/table}*/ (/*{columns}*/ id, body /*{/columns}*/) FROM STDIN;

-- name: checksum
-- One number over every row of a table, to show that a rollback gives back what was there.
SELECT count(*)::bigint, md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM /*{table}*/ cleanup.example /*{/table}*/ AS t;

-- name: author_edits
-- An author touches a planned post before the cutover: the link is still there, and still goes.
UPDATE public.note SET body = '作者补充：' || body WHERE id = (SELECT (f.key::json ->> 0)::bigint FROM cleanup.finding AS f
  WHERE f.actionable AND f.leaf_number = 1 ORDER BY f.finding_number LIMIT 1);

-- name: author_adds
-- A historical post gains a link after the plan was made: nobody planned it, and verify says so.
UPDATE public.note SET body = body || '，店在 https://shop4096.taobao.com/ 里'
 WHERE id = (SELECT min(n.id) FROM public.note AS n
              WHERE n.created_at < '2021-08-02 00:00+08' AND NOT n.is_live
                AND NOT EXISTS (SELECT FROM cleanup.finding AS f WHERE f.leaf_number = 1 AND f.key = json_build_array(n.id::text)::text));
