-- name: look_up
-- The operator's own map of short URLs; nothing is ever fetched from the network.
SELECT /*{short}*/ m.body /*{/short}*/::text, /*{target}*/ m.body /*{/target}*/::text
  FROM /*{table}*/ cleanup.example /*{/table}*/ AS m
 WHERE /*{short}*/ m.body /*{/short}*/ = ANY (%(urls)s::text[]) AND /*{target}*/ m.body /*{/target}*/ IS NOT NULL
 ORDER BY 1, 2;
