"""Ends a server whose owner is gone and removes its folder; also a program, so that a kill -9 of the owner is survived.

Two locks carry all the knowledge, because the kernel drops a lock however its holder dies:
the owner locks the folder itself, and every process of the server holds `alive` inside it.
Standard library only: the program runs by its file name, without the package.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

ALIVE: Final = "alive"
DATA: Final = "data"
_LOOK_AGAIN_SECONDS: Final = 0.02
_GIVE_UP_SECONDS: Final = 30.0


def lock_folder(folder: Path, *, wait: bool) -> int | None:
    """Take the owner's lock of a folder; None where somebody else has it or the folder is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    if _lock(descriptor, wait=wait) and _is_still_at(descriptor, folder):
        return descriptor
    os.close(descriptor)
    return None


def postmaster_id(folder: Path) -> int | None:
    """The process id in the server's own pid file, or None where there is none yet."""
    try:
        return int((folder / DATA / "postmaster.pid").read_text(encoding="ascii").split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def mark_alive(descriptor: int) -> None:
    """Lock the open `alive` file for the processes that are about to inherit it."""
    _lock(descriptor, wait=True)


def server_is_alive(folder: Path) -> bool:
    """Whether any process of the server still lives, the orphans of a killed postmaster included."""
    try:
        descriptor = os.open(folder / ALIVE, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _lock(descriptor, wait=False)
    finally:
        os.close(descriptor)


def wait_for_end(folder: Path) -> None:
    """Return when the last process of the server is gone, orphans of a killed postmaster included."""
    descriptor = os.open(folder / ALIVE, os.O_RDWR)
    try:
        _lock(descriptor, wait=True)
    finally:
        os.close(descriptor)


def reap(folder: Path) -> None:
    """End the server in the folder at once, if one lives, and remove the folder."""
    give_up = time.monotonic() + _GIVE_UP_SECONDS
    while server_is_alive(folder) and time.monotonic() < give_up:
        # The owner may have died between starting the server and its pid file, or during initdb: so look again.
        process = postmaster_id(folder)
        if process is not None:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGQUIT)
        time.sleep(_LOOK_AGAIN_SECONDS)
    _drop_shared_memory(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _drop_shared_memory(folder: Path) -> None:
    # A postmaster that was killed leaves its System V segment; its number is in the pid file, which an orderly
    # end removes together with the segment.
    try:
        identifier = (folder / DATA / "postmaster.pid").read_text(encoding="ascii").splitlines()[6].split()[1]
    except (OSError, IndexError):
        return
    remove = 0  # IPC_RMID
    ctypes.CDLL(None).shmctl(ctypes.c_int(int(identifier)), ctypes.c_int(remove), None)


def _lock(descriptor: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _is_still_at(descriptor: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def main() -> None:
    """Wait until the owner of the folder named on the command line is gone, then reap it."""
    folder = Path(sys.argv[1])
    descriptor = lock_folder(folder, wait=True)
    if descriptor is not None:
        reap(folder)


if __name__ == "__main__":
    main()
