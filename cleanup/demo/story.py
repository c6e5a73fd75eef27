"""The demo's story: each verb as a command that a DBA would type, and the proof at the end."""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import click

from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.demo_posts import checksum, create_tables, let_authors_write, load_rows
from cleanup.demo.commands import Commands
from cleanup.demo.posts import COLUMNS, generate_rows
from cleanup.demo.server import Server
from cleanup.errors import InvariantBroken
from cleanup.resources import config_directory
from cleanup.vocabulary import ExitStatus

_Result = TypeVar("_Result")

_SEED: Final = 20210802
_TABLES: Final = tuple(COLUMNS)
_TEXT: Final = "链接https://item.taobao.com/item.htm?id=4096看这里，京东的 https://item.jd.com/1.html 不动"
# About one in eight posts has a link to change in one of the tables, so that a canary is a small part of them.
_POSTS_A_CANARY: Final = 100
# The same job where a query says that the disk has 1 MiB left: its runs wait.
_FULL_DISK: Final = '\n[check]\nfree_disk_query = "SELECT 1048576"\n'


class Story:
    """Tells the whole job on one server, verb by verb."""

    def __init__(self, server: Server, rows: int) -> None:
        self._rows = rows
        self._config = config_directory() / "demo.toml"
        self._commands = Commands(server.dsn(), self._config)
        self._database = Database(server.dsn(), "cleanup demo")

    def tell(self) -> None:
        """The whole story; raises InvariantBroken where it does not end as it should."""
        self._prepare()
        self._say("What does the policy do with a text? This needs no database.")
        self._commands.explain(
            "链接https://item.taobao.com/item.htm?id=4096看这里，京东的 https://item.jd.com/1.html 不动"
        )
        self._check()
        plan = self._plan()
        report = self._report(plan)
        self._say("Authors go on writing: one edits a planned post, one adds a link to another.")
        self._write(let_authors_write)
        before = self._checksums()
        self._apply(plan, report)
        self._delta(plan)
        self._roll_back(before)
        self._say("The log holds the removed links: when nobody needs them any more, they go. Counts and heads stay.")
        self._commands.run("purge", "1", "--force", "--reason", "CHG-2021-0901: it was rolled back")
        click.echo(f"\nfindings digest {_digest('findings digest', report)}: the same at every run of this demo.")

    def close(self) -> None:
        """Let go of the database, and of what the commands left."""
        self._database.close()
        self._commands.close()

    def _prepare(self) -> None:
        self._say(f"An embedded PostgreSQL with {self._rows:,} generated posts in each of three tables.")
        click.echo("(each command below also has --config and --dsn, which are left out here)")
        self._write(create_tables)
        for table in _TABLES:
            rows = generate_rows(table, self._rows, _SEED)
            self._write(partial(load_rows, table=table, columns=COLUMNS[table], rows=rows))

    def _check(self) -> None:
        self._say("The ledger goes into the posts' own database. Is everything ready, and who else would see a change?")
        self._commands.run("init")
        lines = self._commands.quiet("check", job=True).out.splitlines()
        others = [line for line in lines if not line.startswith("ok ")]
        click.echo("\n".join(["$ cleanup check", *others, f"(and {len(lines) - len(others)} lines of what is ok)"]))

    def _plan(self) -> int:
        """Plan, and decide what waits for a person; the number of the plan to sign."""
        self._say("What would the policy change? The plan reads everything and writes nothing to the posts.")
        self._commands.run("plan", job=True)
        self._say("Some links only a person can judge: they are exported, decided singly or by pattern, and imported.")
        self._commands.run("review", "1", "--export", "waiting.jsonl", job=True)
        exported = self._commands.file("waiting.jsonl").read_text(encoding="utf-8")
        waiting = [json.loads(line) for line in exported.splitlines()]
        if not waiting:
            click.echo("(among so few posts none waits)")
            return 1
        first = waiting[0]
        click.echo(f"(the first of them: {first['before']}[{first['link']}]{first['after']})")
        decisions = "".join(
            json.dumps({"platform": platform, "kind": kind, "decision": "redact"}) + "\n"
            for platform, kind in sorted({(one["platform"], one["kind"]) for one in waiting})
        )
        self._commands.file("decisions.jsonl").write_text(decisions, encoding="utf-8")
        click.echo(f"$ cat decisions.jsonl\n{decisions}", nl=False)
        self._commands.run("review", "1", "--import", "decisions.jsonl", "--by", "Mei", job=True)
        return 2

    def _report(self, plan: int) -> str:
        """Rehearse and report; what is printed, with both digests at its end."""
        self._say("A rehearsal does every write and rolls each batch back. The report is what a signer reads.")
        self._commands.run("apply", str(plan), "--rehearse", job=True)
        policy = str(config_directory() / "policy-xiaohongshu-2021.toml")
        return self._commands.run("report", str(plan), "--policy", policy)

    def _apply(self, plan: int, report: str) -> None:
        self._say("Somebody signs the digest; the approval is what apply asks for.")
        self._approve(plan, report, "CHG-2021-0802")
        self._say("The cutover: small transactions, each with its log and its checkpoint. A canary goes first.")
        canary = max(1, self._rows // _POSTS_A_CANARY)
        self._commands.run("apply", str(plan), "--canary", str(canary), job=True, expected=ExitStatus.INTERRUPTED)
        self._say("From any host: the run stands still while somebody looks, then goes on, more gently.")
        self._commands.run("pause", "1", "--reason", "Lin looks at what the canary wrote")
        self._commands.run("set", "1", "pace.lanes=1", "pace.lock_target_ms=100", "--reason", "editors are at work")
        self._commands.run("status", "1")
        self._commands.run("resume", "1")
        self._commands.run("apply", str(plan), job=True)
        self._say("Verify reads what was written since the plan began, and finds the author's new link.")
        self._commands.run("verify", "1", job=True, expected=ExitStatus.LEFT_OR_REFUSED)

    def _delta(self, base: int) -> None:
        self._say("A delta plan handles what came in, with its own digest and approval.")
        report = self._commands.run("plan", "--since", str(base), job=True)
        plan = base + 1
        self._approve(plan, report, "CHG-2021-0803")
        self._commands.run("apply", str(plan), "--lanes", "1", job=True)
        self._say("Verify without a run reads every post again.")
        self._commands.run("verify", job=True)

    def _approve(self, plan: int, report: str, ticket: str) -> None:
        digest = _digest("digest", report)
        self._commands.run("approve", str(plan), "--digest", digest, "--by", "Lin", "--ticket", ticket, job=True)

    def _roll_back(self, before: dict[str, tuple[int, str]]) -> None:
        self._say("The change log leads back, value by value.")
        lines = self._commands.quiet("log", "2").out.splitlines()
        click.echo(f"$ cleanup log 2   # {len(lines)} line(s), the first:\n{lines[0]}")
        self._say("Weeks later: undo both runs. A config whose query says that the disk is full lets the run wait.")
        job = self._config.read_text(encoding="utf-8") + _FULL_DISK
        self._commands.file("full-disk.toml").write_text(job, encoding="utf-8")
        waiting = ("rollback", "2", "--lanes", "1", "--config", "full-disk.toml", "--max-runtime", "1s")
        self._commands.run(*waiting, expected=ExitStatus.INTERRUPTED)
        self._commands.run("cancel", "3", "--reason", "first the disk gets some room")
        self._say("Once there is room, the newest run first.")
        self._commands.run("rollback", "2", "--lanes", "1", job=True)
        self._commands.run("rollback", "1", job=True)
        self._commands.run("verify", "5", job=True)
        self._commands.run("status")
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


def _digest(name: str, report: str) -> str:
    """A digest as somebody would copy it from what was printed."""
    found = re.search(rf"^  {name} +([0-9a-f]{{64}})$", report, re.MULTILINE)
    if found is None:
        raise InvariantBroken(f"the plan has no {name}", hint="report this with the output above.")
    return found[1]
