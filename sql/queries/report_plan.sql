-- name: classes
-- Values and links by everything that a signer may ask for; only the outermost links are counted, as a scan counts them.
SELECT l.table_name, c.column_name, c.format, s.scope, s.platform, s.kind, s.decision, s.reason,
       count(DISTINCT s.finding_number)::bigint, count(*)::bigint
  FROM cleanup.span AS s
  JOIN cleanup.plan_leaf AS l ON l.plan_id = s.plan_id AND l.leaf_number = s.leaf_number
  JOIN cleanup.plan_column AS c
    ON c.plan_id = s.plan_id AND c.table_name = l.table_name AND c.column_number = s.column_number
 WHERE s.plan_id = %(plan_id)s
 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8;

-- name: months
-- Links by the month of their post, where the cutover is said to be; posts without a date, or beyond all dates, apart.
SELECT CASE WHEN isfinite(s.created_at)
            THEN to_char(s.created_at AT TIME ZONE 'UTC' + make_interval(secs => %(offset_seconds)s), 'YYYY-MM') ELSE '' END,
       s.scope, s.decision, count(*)::bigint
  FROM cleanup.span AS s
 WHERE s.plan_id = %(plan_id)s
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- name: later
-- What is in scope though it was created from the cutover on: only where the config includes such posts.
SELECT l.table_name, s.decision, count(DISTINCT s.finding_number)::bigint, count(*)::bigint
  FROM cleanup.span AS s
  JOIN cleanup.plan AS p ON p.plan_id = s.plan_id AND s.created_at >= p.cutover
  JOIN cleanup.plan_leaf AS l ON l.plan_id = s.plan_id AND l.leaf_number = s.leaf_number
 WHERE s.plan_id = %(plan_id)s AND s.scope = 'historical'
 GROUP BY 1, 2 ORDER BY 1, 2;

-- name: authors
-- Who has most links that would be changed, by id alone.
SELECT s.author, count(DISTINCT s.finding_number)::bigint, count(*)::bigint
  FROM cleanup.span AS s
 WHERE s.plan_id = %(plan_id)s AND s.actionable AND s.author IS NOT NULL AND s.decision IN ('redact', 'rewrite')
 GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT %(authors)s;

-- name: spreads
-- How many links a value and an author has, and how long a link is, in classes that begin at the given numbers.
WITH link AS (
    SELECT s.finding_number, s.author, s.ends - s.begins AS characters
      FROM cleanup.span AS s
     WHERE s.plan_id = %(plan_id)s AND s.actionable AND s.decision IN ('redact', 'rewrite')),
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
SELECT f.finding_number, f.leaf_number, f.column_number, f.scope, f.actionable, f.refusal, f.key, f.created_at, f.author,
       f.value_hash, f.finding_hash, f.spans, r.span_number, r.links
  FROM (SELECT s.plan_id, s.finding_number, s.span_number, row_number() OVER class AS place, count(*) OVER whole AS links
          FROM cleanup.span AS s
          JOIN cleanup.plan_leaf AS l ON l.plan_id = s.plan_id AND l.leaf_number = s.leaf_number
         WHERE s.plan_id = %(plan_id)s
        WINDOW whole AS (PARTITION BY l.table_name, s.column_number, s.scope, s.platform, s.kind, s.decision,
                                      CASE s.decision WHEN 'review' THEN s.reason END),
               class AS (whole ORDER BY s.finding_hash, s.span_number)) AS r
  JOIN cleanup.finding AS f ON f.plan_id = r.plan_id AND f.finding_number = r.finding_number
 WHERE r.place <= %(each)s
 ORDER BY f.leaf_number, f.column_number, f.finding_number, r.span_number LIMIT %(samples)s;

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
