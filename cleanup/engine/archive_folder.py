"""The folder of an archive: private, complete once it has its manifest, and never half of two exports."""

import fcntl
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from cleanup.errors import FolderUnusable

MANIFEST: Final = "manifest.json"
BATCHES: Final = "heads.jsonl"
# Under this name until all of a file is on the disk.
_PARTIAL: Final = ".partial"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What a manifest says of another file of its archive."""

    name: str
    bytes: int
    sha256: str


class NewArchive:
    """A folder in which an archive comes into being; `names` are all the files that one may have."""

    def __init__(self, folder: Path, names: frozenset[str]) -> None:
        self._folder = folder
        self._names = names | {MANIFEST, BATCHES}
        self._made = False

    @property
    def place(self) -> str:
        """The folder's name for people anywhere: host and path."""
        return f"{socket.gethostname()}:{self._folder.resolve()}"

    @contextmanager
    def open(self) -> Iterator[None]:
        """Make the folder, or take an empty one; leave nothing in it where the archive does not come about.

        Raises FolderUnusable. What a killed export left is replaced; what a living one writes is not.
        """
        try:
            self._made = self._make()
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._occupy(descriptor)
                try:
                    yield
                    os.fsync(descriptor)
                except BaseException:
                    self._clear()
                    raise
            finally:
                os.close(descriptor)
        except OSError as error:
            raise FolderUnusable(
                f"{self._folder}: {error.strerror or error}", hint="name a folder that can be written, with room in it."
            ) from None

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A new file, readable by its owner alone; on the disk at the end, but not yet under its name."""
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
        with os.fdopen(os.open(self._partial(name), flags, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    def entry(self, name: str) -> FileEntry:
        """A written file's length and hash, by what the disk gives back."""
        return entry_of(self._partial(name), name)

    def settle(self, name: str) -> None:
        """Give a written file its name."""
        self._partial(name).rename(self._folder / name)

    def _partial(self, name: str) -> Path:
        return self._folder / f"{name}{_PARTIAL}"

    def _make(self) -> bool:
        with suppress(FileExistsError):
            self._folder.mkdir(mode=0o700)
            return True
        return False

    def _occupy(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderUnusable(
                f"{self._folder}: another export writes there", hint="name another folder, or wait for its end."
            ) from None
        present = {file.name for file in self._folder.iterdir()}
        if MANIFEST in present or present - self._own_names():
            raise FolderUnusable(f"{self._folder} is not empty", hint="name a new folder, or an empty one.")
        self._remove_files()

    def _clear(self) -> None:
        with suppress(OSError):
            self._remove_files()
            if self._made:
                self._folder.rmdir()

    def _remove_files(self) -> None:
        for name in self._own_names():
            (self._folder / name).unlink(missing_ok=True)

    def _own_names(self) -> frozenset[str]:
        return self._names | {f"{name}{_PARTIAL}" for name in self._names}


def entry_of(file: Path, name: str) -> FileEntry:
    """The length and hash of a file as it is."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
        return FileEntry(name, content.tell(), digest.hexdigest())
