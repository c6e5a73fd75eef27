"""A job to try things on: a database, a folder with its config, and the command run on both."""

import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from cleanup.cli import main
from cleanup.demo.folders import DIRECTORY_VARIABLE
from cleanup.demo.server import Server

REPOSITORY: Final = Path(__file__).parents[2]
POLICY: Final = "policy-xiaohongshu-2021.toml"
LINK: Final = "https://item.taobao.com/item.htm?id=525"
PLACEHOLDER: Final = "[链接已移除]"

Connection: TypeAlias = "psycopg.Connection[tuple[object, ...]]"
Report: TypeAlias = "dict[str, object]"

_CODE: Final = re.compile(r"^(CLN-\d{3}) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one command said."""

    status: int
    out: str
    err: str

    @property
    def codes(self) -> list[str]:
        """The code of every error message, in order."""
        return _CODE.findall(self.err)

    @property
    def report(self) -> Report:
        """Standard output as JSON."""
        content = json.loads(self.out)
        assert isinstance(content, dict)
        return content

    def number(self, *path: str | int) -> int:
        """A whole number within the JSON on standard output."""
        value: object = self.report
        for step in path:
            assert isinstance(value, dict | list)
            value = value[step]  # type: ignore[index]  # a step fits what it leads through, or the test fails
        assert isinstance(value, int)
        return value


class Job:
    """One config on one database; with `separate`, each command is a process of its own, as an operator's are."""

    def __init__(self, dsn: str, folder: Path, config: str, *, separate: bool = False) -> None:
        self._answer = self.run if separate else self.call
        self.dsn = dsn
        self.folder = folder
        self.config_file = folder / "cleanup.toml"
        self.config_file.write_text(config, encoding="utf-8")

    def run(self, *words: str | int, dsn: str | None = None, **environment: str) -> Answer:
        """Run `cleanup WORDS --dsn DSN` in the config's folder, as a process of its own; `explain` has no database."""
        given = [] if words[0] == "explain" else ["--dsn", self.dsn if dsn is None else dsn]
        ended = subprocess.run(
            [sys.executable, "-m", "cleanup", *map(str, words), *given],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**os.environ, **subprocess_environment(), **environment},
        )
        return Answer(ended.returncode, ended.stdout, ended.stderr)

    def call(self, *words: str | int, dsn: str | None = None) -> Answer:
        """The same within this process, which is quicker; lanes are processes all the same."""
        out, err = io.StringIO(), io.StringIO()
        arguments = [*map(str, words), "--dsn", self.dsn if dsn is None else dsn]
        status = call_main(arguments, self.folder, subprocess_environment(), out, err)
        return Answer(status, out.getvalue(), err.getvalue())

    def done(self, *words: str | int, status: int = 0) -> Answer:
        """Run a command that must end with that exit status."""
        answer = self._answer(*words)
        assert answer.status == status, f"{words}: {answer.status}\n{answer.out}\n{answer.err}"
        return answer

    def plan(self, *words: str | int) -> Answer:
        """Make a plan; its report as JSON."""
        return self.done("plan", "--format", "json", *words)

    def approve(self, plan: Answer) -> None:
        """Sign a plan."""
        digest = plan.report["digest"]
        assert isinstance(digest, str)
        self.done("approve", plan.number("plan_id"), "--digest", digest, "--by", "Ana", "--ticket", "CHG-1")

    def apply(self, plan: Answer, *, status: int = 0) -> Answer:
        """Sign and apply a plan; the run's report as JSON."""
        self.approve(plan)
        return self.done("apply", plan.number("plan_id"), "--format", "json", status=status)

    def verify(self, run: Answer, *, status: int = 0) -> Answer:
        """Verify a run; the findings as JSON."""
        return self.done("verify", run.number("run_id"), "--format", "json", status=status)

    def roll_back(self, run: Answer, *, status: int = 0) -> Answer:
        """Roll a run back; the rollback's report as JSON."""
        return self.done("rollback", run.number("run_id"), "--format", "json", status=status)

    def execute(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run a statement as the superuser and commit it; its rows, if it has any."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def tamper(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """The same past the triggers that keep the ledger as it was written, as its owner could."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute("SET LOCAL session_replication_role = replica")
            cursor = connection.execute(statement.encode(), parameters or None)
            assert cursor.rowcount, "nothing was tampered with"
            return cursor.fetchall() if cursor.description else []

    def number(self, query: str, *parameters: object) -> int:
        """The one whole number that a query answers with."""
        ((value,),) = self.execute(query, *parameters)
        assert isinstance(value, int)
        return value

    def checksums(self) -> dict[str, object]:
        """A checksum over every row of every table outside the system's schemas, the ledger included."""
        with psycopg.connect(self.dsn) as connection:
            return {name: _checksum(connection, oid) for oid, name in _tables(connection)}


def call_main(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], out: io.StringIO, err: io.StringIO
) -> int:
    """Run a command within this process, as if in that folder and environment; its exit status."""
    _compile_lanes()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["cleanup", *arguments])
        return _status_of(main)


@cache
def _compile_lanes() -> None:
    # A lane takes over our switches, so where we may not write byte code it can but read some.
    modules = "import cleanup.commands.plan, cleanup.commands.apply, cleanup.commands.rollback"
    subprocess.run([sys.executable, "-c", modules], check=True, env={**os.environ, **subprocess_environment()})


def _status_of(program: Callable[[], None]) -> int:
    try:
        program()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else 0
    return 0


def _tables(connection: Connection) -> Iterator[tuple[int, str]]:
    rows = connection.execute(
        """SELECT c.oid::bigint, c.oid::regclass::text FROM pg_class AS c
             JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 2"""
    )
    for oid, name in rows.fetchall():
        assert isinstance(oid, int)
        yield oid, str(name)


def _checksum(connection: Connection, oid: int) -> object:
    name = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE c.oid = %s",
        (oid,),
    ).fetchone()
    assert name is not None
    query = sql.SQL("SELECT count(*), sum(hashtextextended(t::text, 0)) FROM ONLY {} AS t")
    return connection.execute(query.format(sql.Identifier(str(name[0]), str(name[1])))).fetchone()


def subprocess_environment() -> dict[str, str]:
    """What makes a command quick and its caches the session's own."""
    folder = os.environ[DIRECTORY_VARIABLE]
    return {
        "PYTHONPATH": str(REPOSITORY),
        # Byte code is kept for the session, whatever this machine's setting is.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": f"{folder}/byte-code",
        "XDG_CACHE_HOME": f"{folder}/caches",
    }


@contextmanager
def new_database(server: Server, template: str = "template1", options: str = "") -> Iterator[str]:
    """The connection string of a new database of that server, dropped at the end."""
    name = f"job_{uuid4().hex}"
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE {name} TEMPLATE "{template}" {options}'.encode())
    try:
        yield server.dsn(name)
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def new_folder() -> Iterator[Path]:
    """A folder that goes at the end; short-lived fixtures have tmp_path."""
    with tempfile.TemporaryDirectory(prefix="job-", dir=os.environ[DIRECTORY_VARIABLE]) as name:
        yield Path(name)


def load(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """COPY rows into a table."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
