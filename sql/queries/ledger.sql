-- name: installed
-- The highest migration applied, or no schema at all; told apart without raising an error.
SELECT to_regclass('cleanup.migration') IS NOT NULL;

-- name: version
-- Which migrations this ledger has had.
SELECT max(migration_number) FROM cleanup.migration;

-- name: record_migration
-- In the same transaction as the migration itself.
INSERT INTO cleanup.migration (migration_number, name) VALUES (%(number)s, %(name)s);

-- name: serialize_install
-- Two inits at once: the second waits and finds the work done. Ends with the transaction, so it is no session state.
SELECT pg_advisory_xact_lock(hashtextextended('cleanup.init', 0));
