"""Every named query has a name and a why, is valid as it stands on every server, is used, and every used one exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlglot
from psycopg.pq import ExecStatus

from cleanup.db.connection import open_connection
from cleanup.db.ledger import install
from cleanup.db.queries import NamedQuery, named_queries
from cleanup.resources import sql_directory

CODE = Path(__file__).parents[2] / "cleanup"
FILES = sorted((sql_directory() / "queries").glob("*.sql"))
QUERIES = sorted(named_queries().values(), key=lambda query: query.name)
PARAMETER = re.compile(r"%\((\w+)\)s")

# The posts' table of the samples in the template spots.
EXAMPLE = """
CREATE TABLE cleanup.example (
    id bigint PRIMARY KEY, author_id bigint, created_at timestamptz, is_live boolean, title text, body text
)
"""

# What sqlglot does not know; the server judges these alone.
UNKNOWN_TO_SQLGLOT = {
    "archives.receive": "COPY ... (FORMAT BINARY)",
    "batch_session.release": "RELEASE SAVEPOINT",
    "findings.receive": "COPY ... (FORMAT BINARY)",
}

every_query = pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_begins_with_a_name_and_repeats_none(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    names = [line.removeprefix("-- name: ") for line in lines if line.startswith("-- name:")]
    assert lines[0].startswith("-- name: ")
    assert sorted(set(names)) == sorted(names)
    assert {f"{file.stem}.{name}" for name in names} <= named_queries().keys()


@every_query
def test_says_why(query: NamedQuery) -> None:
    assert len(query.why.split()) >= 3


@every_query
def test_parses_as_one_statement(query: NamedQuery) -> None:
    if query.name in UNKNOWN_TO_SQLGLOT:
        with pytest.raises(sqlglot.errors.ParseError):
            sqlglot.parse(query.text, dialect="postgres")
    else:
        assert len(sqlglot.parse(query.text, dialect="postgres")) == 1


def _numbered(text: str) -> bytes:
    """The text with the server's own parameters: psycopg's names in the order in which they first occur."""
    names = list(dict.fromkeys(PARAMETER.findall(text)))
    numbered = PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", text)
    assert "%" not in numbered.replace("%%", ""), "a lone % is no parameter to psycopg"
    return numbered.replace("%%", "%").encode()


def test_is_valid_on_the_server_as_it_stands(database_dsn: str) -> None:
    refused = {}
    with open_connection(database_dsn, "contract") as connection:
        with connection.transaction():
            install(connection)
            connection.execute(EXAMPLE)
            connection.execute((sql_directory() / "demo" / "schema.sql").read_bytes())
        for query in QUERIES:
            answer = connection.pgconn.prepare(b"", _numbered(query.text))
            if answer.status != ExecStatus.COMMAND_OK:
                refused[query.name] = answer.error_message.decode()
    assert refused == {}


def test_a_query_that_is_not_valid_would_be_refused(database_dsn: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        answer = connection.pgconn.prepare(b"", _numbered("SELECT no_such FROM pg_class WHERE relname = %(name)s"))
    assert answer.status == ExecStatus.FATAL_ERROR


def _string_constants() -> Iterator[str]:
    for file in CODE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def _calls() -> Iterator[tuple[str, frozenset[str]]]:
    """Each call with a literal name whose spots are all given by keyword: the name, and the spots."""
    for file in CODE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name("statement" | "run_statement"), args=[ast.Constant(str() as name), *_], keywords=given
                ) if all(keyword.arg for keyword in given):
                    yield name, frozenset(keyword.arg for keyword in given if keyword.arg)
                case _:
                    pass


def test_every_query_is_used_and_every_used_one_exists() -> None:
    stems = {file.stem for file in FILES}
    named = re.compile(rf"(?:{'|'.join(sorted(stems))})\.[a-z_]+")
    used = {text for text in _string_constants() if named.fullmatch(text)}
    assert used - named_queries().keys() == set(), "used, but there is no such query"
    assert named_queries().keys() - used == set(), "there, but nothing uses it"


def test_every_spot_is_filled() -> None:
    calls = list(_calls())
    assert len(calls) > 20
    wrong = {name: sorted(given) for name, given in calls if given != named_queries()[name].spots}
    assert wrong == {}


def test_a_query_about_one_run_is_sent_with_its_number() -> None:
    without = {
        (file.relative_to(CODE).as_posix(), name)
        for file in CODE.rglob("*.py")
        for name in re.findall(r'(?<!_)\bstatement\("([a-z_.]+)"', file.read_text(encoding="utf-8"))
        if "%(run_id)s" in named_queries()[name].text
    }
    # An event may be about a plan alone.
    assert without == {("db/events.py", "events.add")}
