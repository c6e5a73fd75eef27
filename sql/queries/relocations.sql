-- name: accept
-- Who answers for it is written beside the reason. Said once for each database, however often it is given.
INSERT INTO cleanup.relocation (system_identifier, database_oid, database_name, reason)
SELECT s.system_identifier::text, d.oid::bigint, d.datname::text, %(reason)s
  FROM pg_catalog.pg_control_system() AS s, pg_catalog.pg_database AS d
 WHERE d.datname = current_database()
   AND NOT EXISTS (SELECT FROM cleanup.relocation AS r
                    WHERE r.system_identifier = s.system_identifier::text AND r.database_oid = d.oid::bigint)
RETURNING relocation_id;

-- name: is_home
-- Whether a plan's runs may be rolled back and verified here.
SELECT cleanup.is_home(p.database_identity) FROM cleanup.plan AS p WHERE p.plan_id = %(plan_id)s;
