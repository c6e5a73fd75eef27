"""The situations that pages start from: a closed set, each built by the commands that lead to it.

The posts are the README's: 300 notes, of which seven hold a link to be removed; in one situation another one holds a
link that waits for a person, and in all others somebody has taken that out.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import psycopg

from cleanup.demo.posts import COLUMNS, generate_rows
from cleanup.resources import config_directory, sql_directory
from tests.contracts.runbook_shell import Shell
from tests.faults.jobs import Process, wait_for
from tests.integration.jobs import LINK, POLICY, Job, load

Connection: TypeAlias = "psycopg.Connection[tuple[object, ...]]"

INTERRUPTED: Final = 4
LEFT: Final = 1
ONE_LANE: Final = "[pace]\nlanes = 1\n"
# Of the seven notes to be changed: one that somebody holds, one whose text is edited elsewhere, one whose link is.
HELD, EDITED, REWORDED = 259, 36, 198
# The note whose link the policy leaves to a person.
UNCERTAIN = 125
_LANE_SESSIONS: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE 'cleanup apply run % lane %'"
)


class Scene:
    """A database with posts, the job that works on it, and whoever else is there."""

    def __init__(self, dsn: str, folder: Path, config: str, shell: Shell) -> None:
        self.job = Job(dsn, folder, config)
        self.shell = shell
        # The posts make one chunk: a second lane would only cost the start of a process.
        shell.configure(ONE_LANE)
        self._processes: list[Process] = []
        self._authors: list[Connection] = []
        self._copies: list[str] = []
        with psycopg.connect(dsn) as connection:
            connection.execute((sql_directory() / "demo" / "schema.sql").read_bytes())
            load(connection, "note", COLUMNS["note"], generate_rows("note", 300, 1))
            ((self.uncertain,),) = connection.execute("SELECT body FROM note WHERE id = %s", (UNCERTAIN,))
            connection.execute("UPDATE note SET body = replace(body, 'xhslink', 'example') WHERE id = %s", (UNCERTAIN,))
            connection.execute("ANALYZE")

    def close(self) -> None:
        """Leave nobody behind, whatever became of the test."""
        for process in self._processes:
            process.kill()
        for author in self._authors:
            author.close()
        for copy in self._copies:
            self.job.execute(f'DROP DATABASE "{copy}" WITH (FORCE)')

    def done(self, words: str, *, status: int = 0) -> None:
        """Run a command; a digest that it prints is what the page may go on to sign."""
        self.shell.heard(self.job.done(*words.split(), status=status).out)

    def start(self, words: str) -> Process:
        """Start a command that goes on while the page is read."""
        command = [sys.executable, "-m", "cleanup", *words.split(), "--config", str(self.job.config_file)]
        output = self.job.folder / f"process-{len(self._processes)}"
        process = Process([*command, "--dsn", self.job.dsn], output)
        self._processes.append(process)
        return process

    def author(self) -> Connection:
        """An author's session, which ends with the test."""
        author: Connection = psycopg.connect(self.job.dsn, application_name="author")
        self._authors.append(author)
        return author

    def copy_database(self) -> None:
        """Dump the database, restore it as another one, and go on there."""
        name = self.job.execute("SELECT current_database()")[0][0]
        copy = f"{name}_copy"
        self._copies.append(copy)
        self.job.execute(f'CREATE DATABASE "{copy}"')
        self.shell.run_quietly(f"pg_dump | psql -q -v ON_ERROR_STOP=1 -d {copy}")
        self.shell.connect_to(copy)


def _fresh(scene: Scene) -> None:
    del scene


def _ledger(scene: Scene) -> None:
    scene.done("init")


def _plan(scene: Scene) -> None:
    _ledger(scene)
    scene.done("plan")


def _waiting_plan(scene: Scene) -> None:
    scene.job.execute("UPDATE note SET body = %s WHERE id = %s", scene.uncertain, UNCERTAIN)
    _plan(scene)


def _approved(scene: Scene) -> None:
    _plan(scene)
    scene.done(f"approve 1 --digest {scene.shell.digest} --by Lin --ticket CHG-1")


def _before_the_cutover(scene: Scene) -> None:
    ((tomorrow,),) = scene.job.execute("SELECT date_trunc('day', now()) + interval '1 day'")
    cutover = str(tomorrow).replace(" ", "T")
    lines = (config_directory() / POLICY).read_text(encoding="utf-8").splitlines()
    text = "\n".join(f"cutover = {cutover}" if line.startswith("cutover = ") else line for line in lines)
    (scene.job.folder / "policy.toml").write_text(text, encoding="utf-8")
    config = scene.job.config_file.read_text(encoding="utf-8")
    scene.job.config_file.write_text(config.replace(POLICY, "policy.toml"), encoding="utf-8")
    _approved(scene)


def _stopped(scene: Scene) -> None:
    _approved(scene)
    scene.done("apply 1 --canary 3", status=INTERRUPTED)


def _paused(scene: Scene) -> Process:
    _stopped(scene)
    scene.done("pause 1 --reason backup")
    process = scene.start("apply 1")
    wait_for("its lane", lambda: scene.job.number(_LANE_SESSIONS) == 1, process=process)
    return process


def _paused_run(scene: Scene) -> None:
    _paused(scene)


def _killed(scene: Scene) -> None:
    # Paused while it is killed, so that every test kills it at the same place.
    _paused(scene).kill()
    wait_for("the end of its sessions", lambda: scene.job.number(_LANE_SESSIONS) == 0)
    scene.done("resume 1")


def _held(scene: Scene) -> None:
    scene.shell.configure("[throttle]\nlong_transaction_seconds = 1\n")
    _approved(scene)
    author = scene.author()
    author.execute("SELECT pg_current_xact_id()")
    old = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND now() - xact_start > interval '1.5 s'"
    wait_for("an old transaction", lambda: scene.job.number(old, author.info.backend_pid) == 1)
    process = scene.start("apply 1")
    held = "SELECT count(*) FROM cleanup.event WHERE name = 'throttle.paused'"
    wait_for("a pause", lambda: scene.job.number(held) == 1, process=process)


def _finished(scene: Scene) -> None:
    _approved(scene)
    scene.done("apply 1")


def _locked(scene: Scene) -> None:
    # Goes on with [pace], the section that was added last.
    scene.shell.configure("locked_passes = 1\n")
    _approved(scene)
    author = scene.author()
    author.execute("SELECT FROM note WHERE id = %s FOR UPDATE", (HELD,))
    scene.done("apply 1", status=LEFT)
    author.rollback()


def _new_post(scene: Scene) -> None:
    scene.job.execute(
        "INSERT INTO note VALUES (301, 7, '2021-07-01', false, '新', %s)",
        f"链接{LINK}看",
    )


def _friday(scene: Scene) -> None:
    _approved(scene)
    _new_post(scene)


def _edited(scene: Scene) -> None:
    _finished(scene)
    scene.job.execute("UPDATE note SET body = '先说一句。' || body WHERE id = %s", EDITED)
    scene.job.execute("UPDATE note SET body = '全部重写了' WHERE id = %s", REWORDED)
    _new_post(scene)


def _purge_is_due(scene: Scene) -> None:
    scene.shell.configure("[retention]\ndays = 0\n")
    _finished(scene)


def _restored_copy(scene: Scene) -> None:
    _finished(scene)
    scene.copy_database()


def _forged(scene: Scene) -> None:
    _finished(scene)
    scene.job.tamper(
        "UPDATE cleanup.change_log SET author = 'nobody'"
        " WHERE finding_number = (SELECT min(finding_number) FROM cleanup.change_log)"
    )


SITUATIONS: Final[Mapping[str, Callable[[Scene], None]]] = MappingProxyType(
    {
        "a fresh database": _fresh,
        "a ledger": _ledger,
        "a plan": _plan,
        "a plan, and a link that waits for a person": _waiting_plan,
        "an approved plan": _approved,
        "an approved plan before the cutover": _before_the_cutover,
        "an approved plan, and a post written since": _friday,
        "a run that stands still": _stopped,
        "a killed job": _killed,
        "a paused run": _paused_run,
        "a run that is held": _held,
        "a finished run": _finished,
        "a finished run that left a locked row": _locked,
        "a finished run, and posts edited since": _edited,
        "a finished run whose log may be purged": _purge_is_due,
        "a finished run, restored elsewhere": _restored_copy,
        "a finished run with a forged log": _forged,
    }
)
