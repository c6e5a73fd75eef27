-- The whole ledger, for psql: psql -v ON_ERROR_STOP=1 --single-transaction -f sql/schema.sql
\ir migrations/0001_ledger.sql
INSERT INTO cleanup.migration (migration_number, name) VALUES (1, 'ledger');
\ir migrations/0002_calls.sql
INSERT INTO cleanup.migration (migration_number, name) VALUES (2, 'calls');
\ir migrations/0003_rollback_for_psql.sql
INSERT INTO cleanup.migration (migration_number, name) VALUES (3, 'rollback_for_psql');
\ir migrations/0004_written_once.sql
INSERT INTO cleanup.migration (migration_number, name) VALUES (4, 'written_once');
