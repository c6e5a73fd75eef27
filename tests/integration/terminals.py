"""A terminal of a test: a command that believes that a person looks at it, and what that person saw."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final, Self

DEADLINE_SECONDS: Final = 60.0
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLUMNS: Final = 160
_SIZE: Final = {"COLUMNS": str(COLUMNS), "LINES": "50"}


class Terminal:
    """One command with a pseudo-terminal as its standard output and error."""

    def __init__(self, words: Sequence[str], environment: dict[str, str]) -> None:
        self._screen, side = pty.openpty()
        self._seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cleanup", *words],
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
            env={**os.environ, **environment, **_SIZE, "TERM": "xterm"},
        )
        os.close(side)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._screen)

    @property
    def raw(self) -> str:
        """Everything that was written so far, control sequences and all."""
        return self._seen.decode(errors="replace")

    @property
    def seen(self) -> str:
        """The same as a person reads it, without what only moves the cursor or sets a colour."""
        return _CONTROL.sub("", self.raw)

    def wait_for(self, what: str, is_seen: Callable[[str], bool]) -> str:
        """Read until that is seen, or fail with all that was."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not is_seen(self.seen):
            assert time.monotonic() < deadline, f"{what} was not seen\n{self.seen}"
            assert self._read(), f"the command ended before {what} was seen\n{self.seen}"
        return self.seen

    def end(self) -> int:
        """Read to the end; the exit status."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self._read():
            assert time.monotonic() < deadline, f"no end\n{self.seen}"
        return self.process.wait(DEADLINE_SECONDS)

    def _read(self) -> bool:
        """Take in what there is, or wait a moment for it; False at the end."""
        ready, _, _ = select.select([self._screen], [], [], 0.2)
        if not ready:
            return True
        try:
            piece = os.read(self._screen, 65_536)
        except OSError:
            # Nobody has the other side open any more.
            return False
        self._seen += piece
        return bool(piece)
