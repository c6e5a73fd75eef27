"""The folder of an embedded server: where it may lie, who owns it, and what dead owners left."""

import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from cleanup.demo import reaper
from cleanup.demo.binaries import ServerUser
from cleanup.errors import ServerUnavailable

PREFIX: Final = "cleanup-pg-"
DIRECTORY_VARIABLE: Final = "CLEANUP_SERVER_DIRECTORY"

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 -- the folder made in it is private, and its name is random
_FALLBACK: Final = Path("/tmp")  # noqa: S108 -- likewise
_LONGEST_PARENT: Final = 65  # the kernel's limit for the whole path of a socket is 104 to 108 bytes

_locks: dict[Path, int] = {}


def _leave_locks_to_the_owner() -> None:
    for descriptor in _locks.values():
        with suppress(OSError):
            os.close(descriptor)
    _locks.clear()


# A forked lane that outlives its parent must not keep the parent's servers alive.
os.register_at_fork(after_in_child=_leave_locks_to_the_owner)


def is_owner(folder: Path) -> bool:
    """Whether this very process made the folder and still has it; a forked child is not the owner."""
    return folder in _locks


def remove_folder(folder: Path) -> None:
    """End whatever server lives in a folder of ours, and remove it."""
    reaper.reap(folder)
    os.close(_locks.pop(folder))


def make_folder(parent: Path, user: ServerUser | None) -> Path:
    """A new folder of mode 0700 in `parent`, the server user's own, locked by this process.

    Folders of dead owners there are removed first. Raises ServerUnavailable.
    """
    if not _socket_fits(parent):
        raise ServerUnavailable(
            f"the path {parent} is too long for a Unix socket below it",
            hint=f"name a folder whose path has at most {_LONGEST_PARENT} bytes.",
        )
    try:
        _sweep(parent, user)
        return _make(parent, user)
    except OSError as error:
        raise ServerUnavailable(
            f"no folder for the embedded server can be made in {parent}: {error.strerror}",
            hint=f"set {DIRECTORY_VARIABLE} to a folder that you may write to.",
        ) from None


def choose_parent(user: ServerUser | None, memory_bytes: int, *, must_execute: bool) -> Path:
    """The best place for the folder; `must_execute` where programs are copied there. Raises ServerUnavailable."""
    chosen = os.environ.get(DIRECTORY_VARIABLE)
    if chosen:
        return Path(chosen).resolve()
    candidates = [Path(tempfile.gettempdir()), _FALLBACK]
    if memory_bytes > 0 and _has_room(_MEMORY, memory_bytes):
        candidates.insert(0, _MEMORY)
    for folder in candidates:
        if _socket_fits(folder) and _is_open_to(folder, user) and not (must_execute and _forbids_programs(folder)):
            return folder
    raise ServerUnavailable(
        f"no folder for the embedded server among {', '.join(map(str, candidates))}",
        hint=f"set {DIRECTORY_VARIABLE} to a writable folder with a short path that every user may enter.",
    )


def _make(parent: Path, user: ServerUser | None) -> Path:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        descriptor = reaper.lock_folder(folder, wait=False)
        if descriptor is not None:  # else another process took it for a dead owner's before it was locked
            _locks[folder] = descriptor
            if user is not None:
                os.chown(descriptor, user.user_id, user.group_id)
            return folder


def _sweep(parent: Path, user: ServerUser | None) -> None:
    # The watcher removes the folder of a dead owner; this is for those whose watcher died as well.
    ours = {os.geteuid()} | ({user.user_id} if user else set())
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):
            if folder.lstat().st_uid not in ours:
                continue
        descriptor = reaper.lock_folder(folder, wait=False)
        if descriptor is not None:
            reaper.reap(folder)
            os.close(descriptor)


def _has_room(folder: Path, wanted_bytes: int) -> bool:
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    free = os.statvfs(folder)
    return free.f_bavail * free.f_frsize >= wanted_bytes


def _socket_fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) <= _LONGEST_PARENT


def _is_open_to(folder: Path, user: ServerUser | None) -> bool:
    if user is None:
        return os.access(folder, os.W_OK | os.X_OK)
    resolved = folder.resolve()
    return all(place.stat().st_mode & stat.S_IXOTH for place in (resolved, *resolved.parents))


def _forbids_programs(folder: Path) -> bool:
    return sys.platform == "linux" and bool(os.statvfs(folder).f_flag & os.ST_NOEXEC)
