"""States are closed sets: the code has a reason for each way between two, and the ledger refuses every other."""

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cache
from itertools import product
from typing import Final

import psycopg
import pytest
import sqlglot
from sqlglot import exp

from cleanup.db.chunks import CHUNK_TRANSITIONS
from cleanup.db.connection import Connection, open_connection
from cleanup.db.controls import WISH_TRANSITIONS
from cleanup.db.ledger import install
from cleanup.db.plans import PLAN_TRANSITIONS
from cleanup.db.queries import named_queries
from cleanup.db.run_chunks import RUN_CHUNK_TRANSITIONS
from cleanup.db.runs import RUN_TRANSITIONS, RunState
from cleanup.errors import RunEnded
from tests.contracts.state_columns import COLUMNS, StateColumn, Way

# A finished plan of this database, and a run of it that is over: what a rollback is made for. And who keeps the ways.
GROUND: Final = """
INSERT INTO cleanup.plan (code_version, matcher_version, policy_name, policy_version, policy_digest, words, cutover,
                          settings, database_identity, first_xmin, first_lsn, state, finished_at, digest)
SELECT '', 1, '', '', '', '{}', now(), '{}',
       jsonb_build_object('system_identifier', s.system_identifier::text, 'database_oid', d.oid::bigint), '3', '0/0',
       'finished', now(), ''
  FROM pg_control_system() AS s, pg_database AS d WHERE d.datname = current_database();
INSERT INTO cleanup.approval (plan_id, digest, approver, ticket, expires_at)
VALUES (1, '', 'Ana', 'CHG-1', 'infinity');
INSERT INTO cleanup.run (kind, plan_id, approval_id, planned, code_version, retention_days, state, finished_at,
                         log_head)
VALUES ('apply', 1, 1, 0, '', 0, 'finished', now(), '');
CREATE TABLE public.way (old_state text, new_state text);
CREATE FUNCTION public.keep_way() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.way VALUES (to_jsonb(OLD) ->> TG_ARGV[0], to_jsonb(NEW) ->> TG_ARGV[0]);
    RETURN NULL;
END $$;
"""

every_column = pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.table)


@pytest.fixture
def ledger(database_dsn: str) -> Iterator[Connection]:
    """A ledger with a plan and a run that are over, and with a trigger that writes down each way that a state goes."""
    with open_connection(database_dsn, "contract") as connection:
        with connection.transaction():
            install(connection)
            connection.execute(GROUND)
            for column in COLUMNS:
                connection.execute(
                    f"CREATE TRIGGER keep_way AFTER UPDATE ON cleanup.{column.table} FOR EACH ROW WHEN"
                    f" (OLD.{column.column} <> NEW.{column.column})"
                    f" EXECUTE FUNCTION public.keep_way('{column.column}')".encode()
                )
        yield connection


def ways_gone(connection: Connection, column: StateColumn) -> set[Way]:
    """The ways that states of the column have gone in this transaction."""
    rows = connection.execute("SELECT old_state, new_state FROM public.way").fetchall()
    return {(column.states(before), column.states(then)) for before, then in rows}


def every_way(column: StateColumn) -> set[Way]:
    """Each pair of two states."""
    return {(before, then) for before, then in product(column.states, repeat=2) if before is not then}


@every_column
def test_the_ledger_knows_the_states_of_the_code_and_no_other(ledger: Connection, column: StateColumn) -> None:
    row = ledger.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s AND contype = 'c'",
        (f"{column.table}_{column.column}_check",),
    ).fetchone()
    assert row is not None
    assert sorted(re.findall(r"'(\w+)'", row[0])) == sorted(state.value for state in column.states)


@pytest.mark.parametrize(
    "reasons",
    [
        PLAN_TRANSITIONS.values(),
        RUN_TRANSITIONS.values(),
        CHUNK_TRANSITIONS.values(),
        RUN_CHUNK_TRANSITIONS.values(),
        WISH_TRANSITIONS.values(),
    ],
)
def test_each_way_has_a_reason_of_its_own(reasons: Collection[str]) -> None:
    assert len(set(reasons)) == len(reasons)
    assert all(len(reason.split()) > 2 for reason in reasons)


@every_column
def test_the_ledger_lets_a_state_go_the_ways_of_the_code_and_no_other(ledger: Connection, column: StateColumn) -> None:
    refusals = dict[Way, str | None]()
    for before, then in every_way(column):
        with column.standing(ledger, before):
            try:
                with ledger.transaction():
                    column.write(ledger, then)
                assert ways_gone(ledger, column) == {(before, then)}
            except psycopg.Error as error:
                refusals[before, then] = error.sqlstate
    assert refusals == dict.fromkeys(every_way(column) - set(column.ways), "CL002")


@every_column
def test_what_writes_states_goes_each_way_of_the_code_and_no_other(ledger: Connection, column: StateColumn) -> None:
    gone: dict[str, set[Way]] = {name: set() for name in column.moves}
    for before, (name, moves) in product(column.states, column.moves.items()):
        for move in moves:
            with column.standing(ledger, before):
                with suppress(RunEnded), ledger.transaction():
                    move(ledger)
                gone[name] |= ways_gone(ledger, column)
    assert set().union(*gone.values()) == set(column.ways)
    assert [name for name, ways in gone.items() if not ways] == []


@cache
def written_by_queries() -> frozenset[tuple[str, str, str]]:
    """Table, column and query, for each column that a named query updates."""
    found = set()
    for query in named_queries().values():
        with suppress(sqlglot.errors.ParseError):
            for update in sqlglot.parse_one(query.text, dialect="postgres").find_all(exp.Update):
                written = [one.this.name for one in update.expressions if isinstance(one, exp.EQ)]
                found |= {(update.this.name, column, query.name) for column in written}
    return frozenset(found)


@every_column
def test_nothing_else_writes_states(ledger: Connection, column: StateColumn) -> None:
    queries = {name for *written, name in written_by_queries() if written == [column.table, column.column]}
    # Of a function the server has the text; the name of a column that is set stands behind SET or a comma.
    update = re.compile(rf"UPDATE\s+cleanup\.{column.table}\b[^;]*?(?:SET|,)\s+{column.column}\s*=")
    bodies = ledger.execute(
        "SELECT 'cleanup.' || proname, prosrc FROM pg_proc WHERE pronamespace = 'cleanup'::regnamespace"
    ).fetchall()
    assert queries | {name for name, body in bodies if update.search(body)} == set(column.moves)


def test_a_run_is_open_as_long_as_a_way_leads_on() -> None:
    assert {state for state in RunState if state.is_open} == {RunState.RUNNING, RunState.INTERRUPTED}


def test_the_states_of_the_ledger_are_all_of_these(ledger: Connection) -> None:
    rows = ledger.execute(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'cleanup' AND column_name = 'state'"
    ).fetchall()
    assert {name for (name,) in rows} == {column.table for column in COLUMNS if column.column == "state"}
