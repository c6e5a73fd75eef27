"""How many bytes are free where the server keeps its data: by the operator's query or command, or not known."""

import subprocess
from collections.abc import Sequence
from typing import Final

from cleanup.config import Check
from cleanup.db.check_space import free_bytes_by_query
from cleanup.db.checks import Unreadable, attempt
from cleanup.db.connection import Connection

_PATIENCE_SECONDS: Final = 10


def free_disk_bytes(connection: Connection, check: Check) -> int | str:
    """The number of bytes, or why it is not known; a command's own words are not repeated."""
    if check.free_disk_query:
        query = check.free_disk_query
        answer = attempt(connection, lambda: free_bytes_by_query(connection, query))
        if isinstance(answer, Unreadable):
            return f"free_disk_query failed (SQLSTATE {answer.sqlstate})"
        return answer if answer is not None else "free_disk_query did not answer with one number"
    if check.free_disk_command:
        return _by_command(check.free_disk_command)
    return "SQL alone can not tell how much disk is free"


def _by_command(command: Sequence[str]) -> int | str:
    try:
        ended = subprocess.run(  # noqa: S603 - the operator's own command, without a shell
            command, check=False, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        return f"free_disk_command can not be run: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"free_disk_command took more than {_PATIENCE_SECONDS} s"
    if ended.returncode != 0:
        return f"free_disk_command ended with {ended.returncode}"
    words = ended.stdout.split()
    return int(words[0]) if len(words) == 1 and words[0].isdecimal() else "free_disk_command did not print one number"
