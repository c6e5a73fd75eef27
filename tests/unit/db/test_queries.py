"""Named queries: each is found, filled, traced by a comment, and valid as it stands."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from cleanup.db.connection import Connection, open_connection
from cleanup.db.ledger import install
from cleanup.db.queries import named_queries, run_statement, statement
from cleanup.demo.server import Server
from cleanup.resources import sql_directory
from tests.integration.jobs import new_database

CODE = Path(__file__).parents[3] / "cleanup"
# Statements of a transaction or a protocol, which PREPARE does not take.
NOT_PREPARED = re.compile(r"(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET|COPY|TRUNCATE|CREATE|DROP|ALTER|ANALYZE)\b")


@pytest.fixture(scope="module")
def ledger(server: Server) -> Iterator[Connection]:
    """A ledger beside a table that has the names of the template spots' stand-ins."""
    with new_database(server) as dsn:
        connection = open_connection(dsn, "queries")
        with connection.transaction():
            install(connection)
            connection.execute(
                "CREATE TABLE cleanup.example"
                " (id bigint PRIMARY KEY, created_at timestamptz, author_id bigint, body text)"
            )
        yield connection
        connection.close()


@pytest.mark.parametrize("name", named_queries())
def test_a_query_is_valid_as_it_stands_and_says_why(ledger: Connection, name: str) -> None:
    query = named_queries()[name]
    assert query.why.endswith((".", ":")), "a query's comment says why it is as it is"
    if NOT_PREPARED.match(query.text) or "demo" in name:
        return
    places: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"${places.setdefault(match[1], len(places) + 1)}"

    text = re.sub(r"%\((\w+)\)s", number, query.text).replace("%%", "%")
    with ledger.transaction(force_rollback=True):
        ledger.execute(b"PREPARE checked AS " + text.encode())
    ledger.execute("DEALLOCATE ALL")


@pytest.mark.parametrize("name", named_queries())
def test_a_query_is_used(name: str) -> None:
    assert any(f'"{name}"' in file.read_text(encoding="utf-8") for file in CODE.rglob("*.py"))


def test_every_header_is_read() -> None:
    written = [
        f"{file.stem}.{line.removeprefix('-- name: ')}"
        for file in (sql_directory() / "queries").glob("*.sql")
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.startswith("-- name:")
    ]
    assert sorted(written) == sorted(named_queries())


def test_spots_are_filled_and_the_comment_names_the_query_and_its_run() -> None:
    fragments = {
        "key_texts": sql.SQL("ARRAY[1]"),
        "key": sql.Identifier("t", 'a"b'),
        "leaf": sql.Identifier("public", "post"),
        "range": sql.SQL("true"),
    }
    text = statement("targets.boundary", **fragments).as_string(None)
    assert text.startswith("/* cleanup:targets.boundary */ SELECT ARRAY[1]")
    assert '"public"."post" AS t' in text
    assert '"t"."a""b"' in text
    assert "example" not in text
    assert "/*{" not in text
    assert run_statement("runs.get", 7).as_string(None).startswith("/* cleanup:runs.get run=7 */ SELECT ")


def test_a_spot_left_open_or_one_too_many_is_a_bug_of_ours() -> None:
    with pytest.raises(KeyError, match=r"targets\.boundary"):
        statement("targets.boundary", leaf=sql.SQL("x"))
    with pytest.raises(KeyError, match=r"runs\.get"):
        statement("runs.get", leaf=sql.SQL("x"))
    with pytest.raises(KeyError):
        statement("runs.nothing")
