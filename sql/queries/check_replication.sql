-- name: of_ledger
-- Publications that carry the ledger, or will carry it once it is there, and with it the removed links.
SELECT p.pubname::text, p.puballtables
  FROM pg_catalog.pg_publication AS p
 WHERE p.puballtables
    OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace AS s
                WHERE s.pnpubid = p.oid AND s.pnnspid = pg_catalog.to_regnamespace('cleanup'))
    OR EXISTS (SELECT FROM pg_catalog.pg_publication_rel AS r
                 JOIN pg_catalog.pg_class AS c ON c.oid = r.prrelid
                WHERE r.prpubid = p.oid AND c.relnamespace = pg_catalog.to_regnamespace('cleanup'))
 ORDER BY 1;

-- name: of_posts
-- Publications that carry a changed post to somebody: those with UPDATE, and with a written column in their list.
SELECT DISTINCT t.pubname::text
  FROM pg_catalog.pg_publication_tables AS t
  JOIN pg_catalog.pg_publication AS p ON p.pubname = t.pubname AND p.pubupdate
  JOIN pg_catalog.pg_namespace AS n ON n.nspname = t.schemaname
  JOIN pg_catalog.pg_class AS c ON c.relname = t.tablename AND c.relnamespace = n.oid
 WHERE c.oid IN (SELECT unnest(%(relations)s::bigint[])::oid) AND t.attnames::text[] && %(columns)s::text[]
 ORDER BY 1;

-- name: identities
-- Leaves whose changes are published, themselves or through a table above them: how a subscriber finds the row.
SELECT n.nspname || '.' || c.relname, c.relreplident::text,
       CASE c.relreplident
            WHEN 'd' THEN EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary)
            WHEN 'i' THEN EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisreplident)
            ELSE c.relreplident = 'f' END
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid IN (SELECT unnest(%(leaves)s::bigint[])::oid)
   AND EXISTS (SELECT FROM pg_catalog.pg_publication_tables AS t
                 JOIN pg_catalog.pg_publication AS p ON p.pubname = t.pubname AND p.pubupdate
                 JOIN pg_catalog.pg_namespace AS pn ON pn.nspname = t.schemaname
                 JOIN pg_catalog.pg_class AS pc ON pc.relname = t.tablename AND pc.relnamespace = pn.oid
                WHERE pc.oid = c.oid
                   OR pc.oid IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors(c.oid) AS a))
 ORDER BY 1;

-- name: slots
-- Slots keep WAL until somebody has read it, whether or not anybody does.
SELECT s.slot_name::text, s.slot_type, s.active, coalesce(s.wal_status, 'reserved'),
       coalesce(pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery()
                                                THEN pg_catalog.pg_last_wal_replay_lsn()
                                                ELSE pg_catalog.pg_current_wal_lsn() END, s.restart_lsn), 0)::bigint
  FROM pg_catalog.pg_replication_slots AS s
 WHERE NOT s.temporary
 ORDER BY 1;

-- name: standbys
-- Whoever streams WAL from this server, and how far behind it is.
SELECT coalesce(r.application_name, ''), r.state, r.sync_state,
       coalesce(pg_catalog.pg_wal_lsn_diff(r.sent_lsn, r.replay_lsn), 0)::bigint
  FROM pg_catalog.pg_stat_replication AS r
 WHERE r.state IS DISTINCT FROM 'backup'
 ORDER BY 1;

-- name: subscriptions
-- Subscriptions that write into the posts: what comes from there does not know of our changes.
SELECT DISTINCT s.subname::text
  FROM pg_catalog.pg_subscription_rel AS r
  JOIN pg_catalog.pg_subscription AS s ON s.oid = r.srsubid
 WHERE r.srrelid IN (SELECT unnest(%(relations)s::bigint[])::oid)
 ORDER BY 1;
