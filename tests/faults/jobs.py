"""A small site of posts under a real server, and the job as the processes that an operator starts.

Every post of the site holds a link, so that few rows give many batches.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias
from uuid import UUID, uuid4

import psutil
import psycopg
from psycopg import sql

from cleanup.commands.options import load_job
from cleanup.db.approvals import Approved, approve
from cleanup.db.connection import transaction
from cleanup.db.ledger import install
from cleanup.db.plans import get_plan
from cleanup.demo.posts import FIRST, SHANGHAI
from cleanup.engine.job import Job
from cleanup.engine.verifying import Verification, verify_run
from cleanup.links.edits import splice
from cleanup.links.finder import Finder
from cleanup.resources import sql_directory
from cleanup.vocabulary import ColumnFormat
from tests.faults.measuring import Peace, measure_run, watch_writes
from tests.plugins.fault_table import Measured

Connection: TypeAlias = "psycopg.Connection[tuple[object, ...]]"
Row: TypeAlias = tuple[object, ...]
Posts: TypeAlias = dict[str, dict[Row, Row]]

DEADLINE_SECONDS: Final = 60.0
_LOOK_AGAIN_SECONDS: Final = 0.002
TABLES: Final = ("note", "note_archive", "comment")

_CONFIG: Final = """
policy = "policy-xiaohongshu-2021.toml"

[pace]
lanes = {lanes}
chunk_rows = {chunk_rows}
batch_rows_max = {batch_rows_max}
rest_percent = {rest_percent}
niceness = {niceness}
lock_target_ms = {lock_target_ms}
lock_timeout_ms = {lock_timeout_ms}
locked_passes = {locked_passes}
lease_seconds = {lease_seconds}

[approval]
max_drift = {max_drift}

[[table]]
name = "public.note"
triggers = "fire"
created_at = "created_at"
author = "author_id"
exempt = "is_live"
[table.columns]
title = "text"
body = "text"

[[table]]
name = "public.note_archive"
triggers = "fire"
created_at = "created_at"
author = "author_id"
[table.columns]
body = "text"

[[table]]
name = "public.comment"
triggers = "fire"
created_at = "created_at"
author = "author_id"
[table.columns]
body = "text"
"""


@dataclass(frozen=True, slots=True)
class Pace:
    """The part of the config that the tests vary.

    A lease of an hour: who waits for one never ends in time. No rest, and no coming after others: nobody is to wait
    for it.
    """

    lanes: int = 2
    chunk_rows: int = 100
    batch_rows_max: int = 20
    rest_percent: int = 0
    niceness: int = 0
    lock_target_ms: int = 250
    lock_timeout_ms: int = 500
    locked_passes: int = 3
    max_drift: float = 0.05
    lease_seconds: int = 3600


@dataclass(frozen=True, slots=True)
class Ended:
    """What a process of the job came to."""

    status: int
    out: str
    err: str


@dataclass(slots=True)
class Site:
    """One database with posts and a ledger, and the config that goes with it."""

    dsn: str
    folder: Path
    pace: Pace = field(default_factory=Pace)
    processes: "list[Process]" = field(default_factory=list)
    peace: Peace | None = None
    _finder: Finder | None = None

    def close(self) -> None:
        """Leave no process behind, whatever became of the test."""
        for process in self.processes:
            process.kill()

    @property
    def config(self) -> Path:
        return self.folder / "cleanup.toml"

    def set_pace(self, pace: Pace) -> None:
        self.pace = pace
        self.config.write_text(_CONFIG.format(**asdict(pace)))

    def copy_at(self, dsn: str, folder: Path) -> "Site":
        """The same job for another database, in a folder of its own."""
        site = Site(dsn, folder)
        site.set_pace(self.pace)
        return site

    def job(self) -> Job:
        return load_job(self.config, self.dsn)

    @contextlib.contextmanager
    def connect(self) -> Iterator[Connection]:
        with psycopg.connect(self.dsn, autocommit=True, application_name="author") as connection:
            yield connection

    def rows(self, query: str, *values: object) -> list[Row]:
        with self.connect() as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def value(self, query: str, *values: object) -> object:
        return self.rows(query, *values)[0][0]

    def number(self, query: str, *values: object) -> int:
        found = self.value(query, *values)
        assert isinstance(found, int)
        return found

    def do(self, *statements: str) -> None:
        with self.connect() as connection:
            for one in statements:
                connection.execute(one.encode())

    def tamper(self, *statements: str) -> None:
        """The same past the triggers that keep the ledger as it was written."""
        self.do("SET session_replication_role = replica", *statements)

    # ---- the job's verbs, each as a process

    def start(self, *words: str, through: str = "") -> "Process":
        """Start a verb; `through` is its way to the database where that is not the tests' own."""
        dsn = through or self.dsn
        command = [sys.executable, "-m", "cleanup", *words, "--config", str(self.config), "--dsn", dsn]
        process = Process(command, self.folder / f"process-{len(self.processes)}")
        self.processes.append(process)
        return process

    def run(self, *words: str, expect: int = 0) -> Ended:
        ended = self.start(*words).end()
        assert ended.status == expect, f"{words} ended with {ended.status}\n{ended.out}\n{ended.err}"
        return ended

    # ---- shortcuts that need no process

    def plan(self, since: int | None = None) -> int:
        self.run("plan", *(("--since", str(since)) if since is not None else ()))
        return self.number("SELECT max(plan_id) FROM cleanup.plan")

    def approve(self, plan_id: int) -> None:
        with self.connect() as connection, transaction(connection):
            digest = get_plan(connection, plan_id).digest
            assert digest is not None
            approve(connection, Approved(plan_id), digest, "the tests", "T-1", 24)

    def approved_plan(self, since: int | None = None) -> int:
        plan_id = self.plan(since)
        self.approve(plan_id)
        return plan_id

    def run_of(self, plan_id: int) -> int:
        return self.number("SELECT run_id FROM cleanup.run WHERE plan_id = %s AND kind = 'apply'", plan_id)

    def last_run(self) -> int:
        return self.number("SELECT max(run_id) FROM cleanup.run")

    def verify(self, run_id: int) -> Verification:
        return verify_run(self.job(), run_id, lambda _: None)

    def findings_digest(self, plan_id: int) -> object:
        return self.value("SELECT findings_digest FROM cleanup.plan WHERE plan_id = %s", plan_id)

    # ---- what the posts and the ledger hold

    def posts(self, table: str) -> dict[Row, Row]:
        """Every row of a table, whole, by its key and leaf."""
        return {row[:2]: row[2:] for row in self.rows(_POSTS[table])}

    def everything(self) -> Posts:
        return {table: self.posts(table) for table in TABLES}

    def outcomes(self, run_id: int) -> dict[str, int]:
        """Findings of a run by outcome, counted from log and outcomes, each of which names a finding once."""
        found = self.rows(
            "SELECT outcome, count(*) FROM (SELECT outcome FROM cleanup.change_log WHERE run_id = %s"
            " UNION ALL SELECT outcome FROM cleanup.outcome WHERE run_id = %s) AS o GROUP BY outcome",
            run_id, run_id,
        )  # fmt: skip
        return {str(name): int(str(number)) for name, number in found}

    def left_in_scope(self) -> int:
        """How many values of historical posts hold a link that the policy removes, read with no word of the ledger."""
        cutover = self.job().policy.cutover
        texts = self.rows(
            "SELECT title FROM note WHERE created_at < %(c)s AND NOT is_live"
            " UNION ALL SELECT body FROM note WHERE created_at < %(c)s AND NOT is_live"
            " UNION ALL SELECT body FROM note_archive WHERE created_at < %(c)s"
            " UNION ALL SELECT body FROM comment WHERE created_at < %(c)s".replace("%(c)s", f"'{cutover.isoformat()}'")
        )
        return sum(self.redacted(str(text)) != text for (text,) in texts)

    def redacted(self, text: str) -> str:
        """What the policy makes of a text: the same that `explain` says."""
        if self._finder is None:
            self._finder = Finder(self.job().policy)
        return splice(text, self._finder.find(text, ColumnFormat.TEXT).spans).after

    def require_sound(self, run_id: int, *, planned: int, expected: Posts | None = None) -> Measured:
        """One outcome per finding, no value written twice, posts, log and batches agree, the log whole.

        `expected` are the posts of an undisturbed run, where no author has written since.
        """
        measured = measure_run(self, run_id, expected)
        assert measured == Measured(), f"run {run_id}: {measured}"
        found = self.outcomes(run_id)
        assert sum(found.values()) == planned, found
        assert self.verify(run_id).log_problems == []
        return measured


_POSTS: Final = {
    "note": "SELECT tableoid::regclass::text, id::text, author_id, created_at, is_live, title, body FROM note",
    "note_archive": "SELECT tableoid::regclass::text, id || ' ' || created_at, author_id, body FROM note_archive",
    "comment": "SELECT tableoid::regclass::text, id::text, note_id, author_id, created_at, body FROM comment",
}


# By this each process of a started verb is known, also a lane whose coordinator is gone.
_MARK: Final = "CLEANUP_TEST_JOB"


class Process:
    """A started verb: the coordinator, in a session of its own, and its lanes."""

    def __init__(self, command: Sequence[str], output: Path) -> None:
        # Files and not pipes: a lane that outlives its job must find somewhere to write.
        self._out, self._err = output.with_suffix(".out"), output.with_suffix(".err")
        self._mark = uuid4().hex
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                env={**os.environ, _MARK: self._mark},
            )

    def end(self, seconds: float = DEADLINE_SECONDS) -> Ended:
        """Wait for the end of the coordinator."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end in {seconds} s\n{self.said()}") from None
        return Ended(status, self._out.read_text(encoding="utf-8"), self._err.read_text(encoding="utf-8"))

    def kill(self) -> None:
        """SIGKILL for all of it: coordinator and lanes, those too that the coordinator has left behind."""
        self.signal_all(signal.SIGKILL)
        self.process.wait()

    def signal_all(self, number: signal.Signals) -> None:
        """A signal for the coordinator and every lane, none of which is started or ends meanwhile."""
        if self.process.poll() is None:
            self.signal(signal.SIGSTOP)
        for one in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if one.pid != self.process.pid and one.environ().get(_MARK) == self._mark:
                    one.send_signal(number)
        if self.process.poll() is None:
            self.signal(number)

    def signal(self, number: signal.Signals) -> None:
        """A signal for the coordinator alone."""
        self.process.send_signal(number)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Coordinator and lanes do nothing at all within: what is arranged meanwhile does not race with them."""
        self.signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal_all(signal.SIGCONT)

    def said(self) -> str:
        return self._out.read_text(encoding="utf-8") + self._err.read_text(encoding="utf-8")

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def lanes(self) -> list[psutil.Process]:
        """The lane processes, in the order in which they were started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children()
            return [child for child in children if "multiprocessing.spawn" in " ".join(child.cmdline())]
        return []


def wait_for(
    what: str, happened: Callable[[], bool], *, process: Process | None = None, seconds: float = DEADLINE_SECONDS
) -> None:
    """Poll until something is so; fail at the deadline, and where the process that should bring it has ended."""
    give_up = time.monotonic() + seconds
    while not happened():
        if process is not None and not process.is_alive() and not happened():
            raise AssertionError(f"{what} did not come: the process ended\n{process.said()}")
        if time.monotonic() > give_up:
            raise AssertionError(f"{what} did not come in {seconds} s\n{process.said() if process else ''}")
        time.sleep(_LOOK_AGAIN_SECONDS)


def slow_updates(site: Site, table: str, milliseconds: int) -> None:
    """Let each row that a lane writes take a while, and none that an author writes.

    To be called before the plan, whose fingerprint knows triggers.
    """
    site.do(
        "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF current_setting('application_name') LIKE 'cleanup%'"
        " THEN PERFORM pg_sleep(tg_argv[0]::float8 / 1000); END IF; RETURN NEW; END $$",
        f"CREATE TRIGGER slow BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION slow({milliseconds})",
    )


# ------------------------------------------------------------------------------------- the posts


def body_of(table: str, number: int) -> str:
    """A text with one link of ours or two, and beside them what must stay as it is."""
    link = f"https://item.taobao.com/item.htm?id={500_000_000_000 + number}"
    second = f"，还有 https://detail.tmall.com/item.htm?id={600_000_000_000 + number}" if number % 5 == 0 else ""
    return f"{table} 第{number}篇。买它 {link} {second}。别家 https://example.com/{number}\n\t尾行 é 🌿 "


def fill(connection: Connection, rows: int) -> None:
    """The demo's tables with so many rows each, every one with a link of ours."""
    connection.execute((sql_directory() / "demo" / "schema.sql").read_bytes())
    step = (datetime(2021, 7, 30, tzinfo=SHANGHAI) - FIRST) / max(rows, 1)
    columns = {
        "note": ("id", "author_id", "created_at", "is_live", "title", "body"),
        "note_archive": ("id", "author_id", "created_at", "body"),
        "comment": ("id", "note_id", "author_id", "created_at", "body"),
    }
    for table, names in columns.items():
        into = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, names))
        )
        with connection.cursor() as cursor, cursor.copy(into) as copy:
            for number in range(1, rows + 1):
                copy.write_row(_row(table, number, FIRST + step * number))
    connection.execute("ANALYZE")


def _row(table: str, number: int, created_at: datetime) -> tuple[object, ...]:
    body = body_of(table, number)
    if table == "note":
        # Every tenth title holds a link too, so that rows with two findings are there.
        title = f"标题{number} https://m.tb.cn/h.{number:07d}" if number % 10 == 0 else f"标题{number}"
        return (number, number % 97, created_at + timedelta(seconds=number), False, title, body)
    if table == "note_archive":
        return (number, number % 97, created_at, body)
    identifier = UUID(bytes=hashlib.sha256(f"comment {number}".encode()).digest()[:16], version=4)
    return (identifier, number, number % 97, created_at, body)


def new_site(dsn: str, folder: Path, rows: int, pace: Pace) -> Site:
    """Posts, ledger and config in an empty database."""
    site = Site(dsn, folder)
    site.set_pace(pace)
    with site.connect() as connection:
        fill(connection, rows)
        with transaction(connection):
            install(connection)
        watch_writes(connection)
    return site
