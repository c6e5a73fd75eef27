"""The demo's commands: each a process of its own, shown as a DBA would type it, with what it says."""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from cleanup.errors import InvariantBroken
from cleanup.vocabulary import ExitStatus


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and the error with its hint that ended it; what a job tells of its work is left out."""

    out: str
    error: str


class Commands:
    """Runs commands on one database, with one config, in a folder of their own."""

    def __init__(self, dsn: str, config: Path) -> None:
        self._dsn = dsn
        self._config = config
        # What the commands leave. Byte code, too: dozens of processes import the same modules, and where it is not
        # written, that is most of the time.
        self._left = tempfile.TemporaryDirectory(prefix="cleanup-demo-")

    def file(self, name: str) -> Path:
        """A file of the folder that the commands run in."""
        return Path(self._left.name) / name

    def run(self, *arguments: str, job: bool = False, expected: ExitStatus = ExitStatus.DONE) -> str:
        """Show a command and all that it says, and return what it printed; `job` gives it the config.

        Raises InvariantBroken where it does not end as expected.
        """
        click.echo(f"$ cleanup {shlex.join(arguments)}")
        said = self.quiet(*arguments, job=job, expected=expected)
        click.echo(f"{said.out}{said.error}", nl=False)
        if expected is not ExitStatus.DONE:
            click.echo(f"(exit status {expected.value})")
        return said.out

    def quiet(self, *arguments: str, job: bool = False, expected: ExitStatus = ExitStatus.DONE) -> Said:
        """The same, and show nothing."""
        verb, *rest = arguments
        where = ["--config", str(self._config)] if job else []
        ended = self._call([verb, *where, "--dsn", self._dsn, *rest])
        if ended.returncode != expected:
            raise InvariantBroken(
                f"cleanup {shlex.join(arguments)} ended with {ended.returncode}: {ended.stderr.strip()[-2000:]}",
                hint="report this with the output above.",
            )
        told = ended.stderr.splitlines(keepends=True)
        began = next((place for place, line in enumerate(told) if line.startswith("CLN-")), len(told))
        return Said(ended.stdout, "".join(told[began:]))

    def explain(self, text: str) -> None:
        """Show what the policy does with a text."""
        said = self._call(["explain"], text).stdout
        click.echo(f"$ echo {shlex.quote(text)} | cleanup explain\n{said}", nl=False)

    def close(self) -> None:
        """Delete what the commands left."""
        self._left.cleanup()

    def _call(self, arguments: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONIOENCODING": "utf-8",
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(self.file("byte-code")),
        }
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "cleanup", *arguments],
            input=given,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            env=environment,
            cwd=self._left.name,
        )
