"""A DBA's shell on one database: a folder with the README's config, libpq's variables, and the server's own psql."""

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import psycopg

from cleanup.demo.server import Server
from tests.contracts.runbook_pages import ROOT, Command, Language, sessions_of
from tests.integration.jobs import call_main, subprocess_environment

# A page's command waits for no person: one that takes longer hangs.
PATIENCE_SECONDS: Final = 120

_DIGEST: Final = re.compile(r"^\s+digest\s+([0-9a-f]{64})$", re.MULTILINE)
_FOR_BASH: Final = re.compile(r"[|&;<>$`*]")
_FIRST_TABLE: Final = "[[table]]"


class Shell:
    """Runs what a page says, and keeps what was printed last.

    With `separate`, bash runs each command; else the plain ones of `cleanup` run within this process, which is quicker.
    """

    def __init__(self, folder: Path, dsn: str, server: Server, *, separate: bool) -> None:
        parts = psycopg.conninfo.conninfo_to_dict(dsn)
        names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGDATABASE": "dbname"}
        path = [str(Path(sys.executable).parent), str(Path(server.program("psql")).parent), os.environ["PATH"]]
        self._environment = {
            **subprocess_environment(),
            **{name: str(parts[key]) for name, key in names.items()},
            "PATH": os.pathsep.join(path),
            "PSQLRC": os.devnull,
            "PAGER": "cat",
        }
        self._folder = folder
        self._separate = separate
        self.digest = ""
        for beside in ("sql", "config", "tests"):
            (folder / beside).symlink_to(ROOT / beside)
        self.printed = ""

    def connect_to(self, database: str) -> None:
        """Let further commands go to another database of the server."""
        self._environment["PGDATABASE"] = database

    def configure(self, fragment: str) -> None:
        """Replace cleanup.toml where the fragment names the policy, else put it before the tables."""
        file = self._folder / "cleanup.toml"
        if "policy =" in fragment:
            file.write_text(fragment, encoding="utf-8")
        else:
            before, table, after = file.read_text(encoding="utf-8").partition(_FIRST_TABLE)
            file.write_text(f"{before}{fragment}\n{table}{after}", encoding="utf-8")

    def run(self, command: Command) -> None:
        """Run a command as bash does; it must end with its status. DIGEST stands for the digest printed last."""
        text = command.text.replace("DIGEST", self.digest)
        words = shlex.split(text, comments=True)
        if self._separate or words[0] != "cleanup" or _FOR_BASH.search(text.partition(" # ")[0]):
            self._printed_by(["bash", "-euo", "pipefail", "-c", text], command.text, command.status)
            return
        printed = io.StringIO()
        status = call_main(words[1:], self._folder, self._environment, printed, printed)
        self._has_printed(printed.getvalue(), command.text, status, command.status)

    def run_sql(self, statements: str) -> None:
        """Run statements in psql, which stops at the first error."""
        self._printed_by(["psql", "-v", "ON_ERROR_STOP=1", "-f", "-"], statements, given=statements)

    def heard(self, printed: str) -> None:
        """Take note of a digest that somebody else's command has printed."""
        found = _DIGEST.findall(printed)
        self.digest = found[-1] if found else self.digest

    def run_quietly(self, text: str) -> None:
        """Run a command that is no part of what the page shows."""
        printed = self.printed
        self.run(Command(text))
        self.printed = printed

    def _printed_by(self, words: list[str], text: str, status: int = 0, given: str = "") -> None:
        ended = subprocess.run(
            words,
            check=False,
            cwd=self._folder,
            env={**os.environ, **self._environment},
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
        )
        self._has_printed(ended.stdout, text, ended.returncode, status)

    def _has_printed(self, printed: str, text: str, ended: int, status: int) -> None:
        assert ended == status, f"exit {ended}, not {status}: {text}\n{printed}"
        self.printed += printed
        self.heard(printed)


def readme_config() -> str:
    """The config that the README shows, which every page goes on from."""
    (found,) = (
        block.text
        for session in sessions_of(ROOT / "README.md")
        for block in session.blocks
        if block.language is Language.CONFIG
    )
    return found
