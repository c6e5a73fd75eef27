"""The demo's story: each verb as a command that a DBA would type, and the proof at the end."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import click

from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.demo_posts import checksum, create_tables, let_authors_write, load_rows
from cleanup.demo.posts import COLUMNS, generate_rows
from cleanup.demo.server import Server
from cleanup.errors import InvariantBroken
from cleanup.resources import config_directory
from cleanup.vocabulary import ExitStatus

_Result = TypeVar("_Result")

_SEED: Final = 20210802
_TABLES: Final = tuple(COLUMNS)


@dataclass(frozen=True, slots=True)
class _Said:
    status: int
    out: str


class Story:
    """Runs every verb in turn as a process of its own, on one server."""

    def __init__(self, server: Server, rows: int) -> None:
        self._dsn = server.dsn()
        # Two dozen processes import the same modules: where byte code is not written, that is most of the time.
        self._byte_code = tempfile.TemporaryDirectory(prefix="cleanup-demo-")
        self._rows = rows
        self._database = Database(self._dsn, "cleanup demo")

    def tell(self) -> None:
        """The whole story; raises InvariantBroken where it does not end as it should."""
        self._prepare()
        self._explain()
        self._say("The ledger goes into the posts' own database.")
        self._run("init")
        digest, findings_digest = self._plan()
        self._say("Authors go on writing: one edits a planned post, one adds a link to another.")
        self._write(let_authors_write)
        before = self._checksums()
        self._say("Somebody signs the digest; the approval is what apply asks for.")
        self._run("approve", "1", "--digest", digest, "--by", "Lin", "--ticket", "CHG-2021-0802", job=True)
        self._apply()
        self._delta()
        self._roll_back(before)
        click.echo(f"\nfindings digest {findings_digest}: the same at every run of this demo.")

    def close(self) -> None:
        """Let go of the database, and of what the commands left."""
        self._database.close()
        self._byte_code.cleanup()

    def _prepare(self) -> None:
        self._say(f"An embedded PostgreSQL with {self._rows:,} generated posts in each of three tables.")
        click.echo("(each command below also has --config and --dsn, which are left out here)")
        self._write(create_tables)
        for table in _TABLES:
            rows = generate_rows(table, self._rows, _SEED)
            self._write(partial(load_rows, table=table, columns=COLUMNS[table], rows=rows))

    def _explain(self) -> None:
        self._say("What does the policy do with a text? This needs no database.")
        text = "链接https://item.taobao.com/item.htm?id=4096看这里，京东的 https://item.jd.com/1.html 不动"
        click.echo(f"$ echo '{text}' | cleanup explain")
        click.echo(self._call(["explain"], text).stdout, nl=False)

    def _plan(self) -> tuple[str, str]:
        self._say("What would the policy change? The plan reads everything and writes nothing to the posts.")
        self._run("plan", job=True)
        policy = str(config_directory() / "policy-xiaohongshu-2021.toml")
        self._say("The report is what a signer reads.")
        self._run("report", "1", "--policy", policy)
        report = json.loads(self._quiet("report", "1", "--format", "json").out)
        return str(report["digest"]), str(report["findings_digest"])

    def _apply(self) -> None:
        self._say("The cutover: small transactions, each with its log and its checkpoint.")
        self._run("apply", "1", job=True)
        self._run("status")
        self._say("Verify reads what was written since the plan began, and finds the author's new link.")
        self._run("verify", "1", job=True, expected=ExitStatus.LEFT_OR_REFUSED)

    def _delta(self) -> None:
        self._say("A delta plan handles what came in, with its own digest and approval.")
        self._run("plan", "--since", "1", job=True)
        digest = str(json.loads(self._quiet("report", "2", "--format", "json").out)["digest"])
        self._run("approve", "2", "--digest", digest, "--by", "Lin", "--ticket", "CHG-2021-0803", job=True)
        self._run("apply", "2", job=True)
        self._run("verify", "2", job=True)
        left = self._quiet("verify", "--format", "json", job=True)
        unplanned = json.loads(left.out)["sweep"]["unplanned"]
        click.echo(f"\nevery post read again: {unplanned} left")

    def _roll_back(self, before: dict[str, tuple[int, str]]) -> None:
        self._say("The change log leads back, value by value.")
        lines = self._quiet("log", "2").out.splitlines()
        click.echo(f"$ cleanup log 2   # {len(lines)} line(s), the first:\n{lines[0]}")
        self._say("Weeks later: undo both runs, the newest first.")
        self._run("rollback", "2", job=True)
        self._run("rollback", "1", job=True)
        self._run("verify", "4", job=True)
        after = self._checksums()
        click.echo("\nchecksums before the first write and after the rollback")
        for table in _TABLES:
            same = "the same" if before[table] == after[table] else "DIFFERENT"
            click.echo(f"  {table:13} {before[table][0]:>7,} rows  {before[table][1]}  {same}")
        if before != after:
            raise InvariantBroken("the rollback did not restore every table", hint="report this with the output above.")

    def _checksums(self) -> dict[str, tuple[int, str]]:
        def read(connection: Connection) -> dict[str, tuple[int, str]]:
            return {table: checksum(connection, table) for table in _TABLES}

        return self._database.transact(read, read_only=True, one_snapshot=True)

    def _write(self, work: Callable[[Connection], _Result]) -> _Result:
        return self._database.transact(work)

    def _say(self, what: str) -> None:
        click.echo(f"\n# {what}")

    def _run(self, *arguments: str, job: bool = False, expected: ExitStatus = ExitStatus.DONE) -> None:
        click.echo(f"$ cleanup {' '.join(arguments)}")
        said = self._quiet(*arguments, job=job, expected=expected)
        click.echo(said.out, nl=False)
        if expected is not ExitStatus.DONE:
            click.echo(f"(exit status {said.status})")

    def _quiet(self, *arguments: str, job: bool = False, expected: ExitStatus | None = None) -> _Said:
        verb, *rest = arguments
        where = ["--config", str(config_directory() / "demo.toml")] if job else []
        ended = self._call([verb, *where, "--dsn", self._dsn, *rest])
        if expected is not None and ended.returncode != expected:
            raise InvariantBroken(
                f"cleanup {' '.join(arguments)} ended with {ended.returncode}: {ended.stderr.strip()[-2000:]}",
                hint="report this with the output above.",
            )
        return _Said(ended.returncode, ended.stdout)

    def _call(self, arguments: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONIOENCODING": "utf-8",
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": self._byte_code.name,
        }
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "cleanup", *arguments],
            input=given,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            env=environment,
        )
