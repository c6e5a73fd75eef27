"""A table for which the disk is full, without a disk: its file leads to a device where every write finds no room.

It works for any user, and the error is the kernel's own. The table has to be empty: what it holds would be out of
reach.
"""

from pathlib import Path
from typing import Final

from cleanup.demo.reaper import DATA
from cleanup.demo.server import Server
from tests.faults.jobs import Site

_DEVICE: Final = Path("/dev/full")


class FullDisk:
    """No block can be added to the table, until somebody makes room."""

    def __init__(self, server: Server, site: Site, table: str) -> None:
        self._site = site
        self._file = server.folder / DATA / str(site.value("SELECT pg_relation_filepath(%s)", table))
        self._kept = self._file.with_name(f"{self._file.name}.kept")
        assert self._file.stat().st_size == 0, f"{table} has rows already"
        self._file.rename(self._kept)
        self._file.symlink_to(_DEVICE)

    def make_room(self) -> None:
        """Give the table its file back."""
        self._kept.replace(self._file)
        # When a database is dropped, every session of the server has to close its files: so it opens this one anew.
        self._site.do("CREATE DATABASE of_no_use", "DROP DATABASE of_no_use")
