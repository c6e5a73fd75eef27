-- name: begin
-- A batch's transaction says its isolation itself, whatever the server's default is.
BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE;

-- name: immediate
-- Deferred constraints speak up before the commit, where a refused row can still be told from the others.
SET CONSTRAINTS ALL IMMEDIATE;

-- name: commit
-- Rows, log and checkpoint become visible together.
COMMIT;

-- name: roll_back
-- Nothing of the batch remains.
ROLLBACK;

-- name: savepoint
-- Row by row: one refused row must not take the others with it.
SAVEPOINT one_row;

-- name: release
-- The row was written, or it was undone; either way the next row has a savepoint of its own.
RELEASE SAVEPOINT one_row;

-- name: undo_one
-- The row was refused.
ROLLBACK TO SAVEPOINT one_row;
