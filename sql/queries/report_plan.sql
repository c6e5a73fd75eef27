-- name: classes
-- Values and links by everything that a signer may ask for; only the outermost links are counted, as a scan counts them.
SELECT l.table_name, c.column_name, c.format, f.scope, s.span ->> 2, s.span ->> 3, s.span ->> 4, s.span ->> 5,
       count(DISTINCT f.finding_number)::bigint, count(*)::bigint
  FROM cleanup.finding AS f
  JOIN cleanup.plan_leaf AS l ON l.plan_id = f.plan_id AND l.leaf_number = f.leaf_number
  JOIN cleanup.plan_column AS c
    ON c.plan_id = f.plan_id AND c.table_name = l.table_name AND c.column_number = f.column_number
 CROSS JOIN LATERAL jsonb_array_elements(f.spans::jsonb) AS s(span)
 WHERE f.plan_id = %(plan_id)s
 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8;

-- name: months
-- Links by the month of their post, where the cutover is said to be; posts without a date, or beyond all dates, apart.
SELECT CASE WHEN isfinite(f.created_at)
            THEN to_char(f.created_at AT TIME ZONE 'UTC' + make_interval(secs => %(offset_seconds)s), 'YYYY-MM') ELSE '' END,
       f.scope, s.span ->> 4, count(*)::bigint
  FROM cleanup.finding AS f
 CROSS JOIN LATERAL jsonb_array_elements(f.spans::jsonb) AS s(span)
 WHERE f.plan_id = %(plan_id)s
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- name: later
-- What is in scope though it was created from the cutover on: only where the config includes such posts.
SELECT l.table_name, s.span ->> 4, count(DISTINCT f.finding_number)::bigint, count(*)::bigint
  FROM cleanup.finding AS f
  JOIN cleanup.plan AS p ON p.plan_id = f.plan_id AND f.created_at >= p.cutover
  JOIN cleanup.plan_leaf AS l ON l.plan_id = f.plan_id AND l.leaf_number = f.leaf_number
 CROSS JOIN LATERAL jsonb_array_elements(f.spans::jsonb) AS s(span)
 WHERE f.plan_id = %(plan_id)s AND f.scope = 'historical'
 GROUP BY 1, 2 ORDER BY 1, 2;

-- name: authors
-- Who has most links that would be changed, by id alone.
SELECT f.author, count(DISTINCT f.finding_number)::bigint, count(*)::bigint
  FROM cleanup.finding AS f
 CROSS JOIN LATERAL jsonb_array_elements(f.spans::jsonb) AS s(span)
 WHERE f.plan_id = %(plan_id)s AND f.actionable AND f.author IS NOT NULL AND s.span ->> 4 IN ('redact', 'rewrite')
 GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT %(authors)s;

-- name: spreads
-- How many links a value and an author has, and how long a link is, in classes that begin at the given numbers.
WITH link AS (
    SELECT f.finding_number, f.author, (s.span ->> 1)::bigint - (s.span ->> 0)::bigint AS characters
      FROM cleanup.finding AS f
     CROSS JOIN LATERAL jsonb_array_elements(f.spans::jsonb) AS s(span)
     WHERE f.plan_id = %(plan_id)s AND f.actionable AND s.span ->> 4 IN ('redact', 'rewrite')),
spread AS (
    SELECT 1 AS number, width_bucket(characters, %(lengths)s::bigint[]) AS class, count(*) AS things FROM link GROUP BY 2
    UNION ALL
    SELECT 2, width_bucket(v.links, %(counts)s::bigint[]), count(*)
      FROM (SELECT count(*) AS links FROM link GROUP BY finding_number) AS v GROUP BY 2
    UNION ALL
    SELECT 3, width_bucket(a.links, %(counts)s::bigint[]), count(*)
      FROM (SELECT count(*) AS links FROM link WHERE author IS NOT NULL GROUP BY author) AS a GROUP BY 2)
SELECT number, class, things::bigint FROM spread ORDER BY number, class;

-- name: samples
-- Some links of each class, the same ones each time: in the order of their findings' hashes. A reason is a class of
-- its own where a person has to decide.
SELECT r.finding_number, r.leaf_number, r.column_number, r.scope, r.actionable, r.refusal, r.key, r.created_at, r.author,
       r.value_hash, r.finding_hash, r.spans, r.span_number, r.links
  FROM (SELECT f.*, s.ordinality - 1 AS span_number, l.table_name, s.span ->> 4 AS decision,
               row_number() OVER class AS place, count(*) OVER whole AS links
          FROM cleanup.finding AS f
          JOIN cleanup.plan_leaf AS l ON l.plan_id = f.plan_id AND l.leaf_number = f.leaf_number
         CROSS JOIN LATERAL jsonb_array_elements(f.spans::jsonb) WITH ORDINALITY AS s(span, ordinality)
         WHERE f.plan_id = %(plan_id)s
        WINDOW whole AS (PARTITION BY l.table_name, f.column_number, f.scope, s.span ->> 2, s.span ->> 3, s.span ->> 4,
                                      CASE s.span ->> 4 WHEN 'review' THEN s.span ->> 5 END),
               class AS (whole ORDER BY f.finding_hash, s.ordinality)) AS r
 WHERE r.place <= %(each)s
 ORDER BY r.leaf_number, r.column_number, r.finding_number, r.span_number LIMIT %(samples)s;

-- name: sums
-- The same sums as those of the chunks, counted from the findings themselves.
SELECT count(*)::bigint, count(*) FILTER (WHERE f.actionable)::bigint, count(*) FILTER (WHERE f.refusal IS NOT NULL)::bigint,
       coalesce(sum(jsonb_array_length(f.spans::jsonb)), 0)::bigint
  FROM cleanup.finding AS f WHERE f.plan_id = %(plan_id)s;

-- name: refused
-- Values that no run of this plan will change, as many as a person may read.
SELECT l.leaf_name, c.column_name, f.key, f.author, f.refusal
  FROM cleanup.finding AS f
  JOIN cleanup.plan_leaf AS l ON l.plan_id = f.plan_id AND l.leaf_number = f.leaf_number
  JOIN cleanup.plan_column AS c
    ON c.plan_id = f.plan_id AND c.table_name = l.table_name AND c.column_number = f.column_number
 WHERE f.plan_id = %(plan_id)s AND f.refusal IS NOT NULL ORDER BY f.finding_number LIMIT %(rows)s;

-- name: reviews
-- Who decided what the policy left to a person: the review that made this plan, and those that made the ones before it.
WITH RECURSIVE chain AS (
    SELECT r.* FROM cleanup.review AS r WHERE r.plan_id = %(plan_id)s
    UNION ALL
    SELECT r.* FROM chain AS c JOIN cleanup.review AS r ON r.plan_id = c.reviewed_plan_id)
SELECT c.reviewed_plan_id, c.reviewer, c.decided_as, c.decided_at, d.redacted, d.kept
  FROM chain AS c
 CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE e.decision = 'redact')::bigint AS redacted,
                            count(*) FILTER (WHERE e.decision = 'keep')::bigint AS kept
                       FROM cleanup.review_decision AS e WHERE e.plan_id = c.plan_id) AS d
 ORDER BY c.plan_id;
