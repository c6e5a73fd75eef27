"""A streaming standby of a test's server, made by pg_basebackup in the place of a server of its own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cleanup.demo.server import Server
from tests.plugins.servers import binaries_of

SLOT = "standby"


@contextmanager
def standby_of(primary: Server, major: int) -> Iterator[Server]:
    """A hot standby with feedback, which streams through a slot that outlives it."""
    with Server.start(binaries_of(major)) as standby:
        standby.stop()
        data = standby.folder / "data"
        owner = data.stat()
        shutil.rmtree(data)
        words = ["--pgdata", str(data), "--dbname", primary.dsn(), "--checkpoint", "fast", "--wal-method", "stream"]
        slot = ["--create-slot", "--slot", SLOT, "--write-recovery-conf"]
        subprocess.run([primary.program("pg_basebackup"), *words, *slot], check=True, capture_output=True)
        with (data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.write(f"unix_socket_directories = '{standby.host}'\n")
            file.write("hot_standby_feedback = on\nwal_receiver_status_interval = '1s'\n")
        _give(data, owner.st_uid, owner.st_gid)
        standby.restart()
        yield standby


def _give(folder: Path, user: int, group: int) -> None:
    # The backup is ours; the server runs as somebody else where we are root.
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, group)
