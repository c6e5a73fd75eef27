-- The whole ledger, for psql: psql -v ON_ERROR_STOP=1 --single-transaction -f sql/schema.sql
\ir migrations/0001_ledger.sql
INSERT INTO cleanup.migration (migration_number, name) VALUES (1, 'ledger');
