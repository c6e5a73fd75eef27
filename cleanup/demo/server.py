"""An embedded PostgreSQL: started from any binaries in well under a second, gone with the process that started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cleanup.demo import reaper
from cleanup.demo.binaries import ServerBinaries, ServerUser, find_wheel_binaries, unprivileged_user
from cleanup.demo.folders import choose_parent, is_owner, make_folder, remove_folder
from cleanup.errors import ServerUnavailable

PORT: Final = 5432
SUPERUSER: Final = "postgres"

_READY_SECONDS: Final = 60.0
_LOOK_AGAIN_SECONDS: Final = 0.004
_BUILTIN_LOCALE_SINCE: Final = 17

_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    # Files in the data folder: what a killed server leaves there goes with the folder.
    "dynamic_shared_memory_type": "mmap",
    # The data does not outlive the process, so there is no power cut to survive.
    "fsync": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class StopMode(Enum):
    """How a server is asked to end, in PostgreSQL's own words."""

    SMART = signal.SIGTERM
    FAST = signal.SIGINT
    IMMEDIATE = signal.SIGQUIT


class Server:
    """A private server in a folder of its own; `with Server.start() as server:` removes both at the end.

    Where the process that started it dies in any way, a watcher ends the server and removes the folder.
    """

    def __init__(self, folder: Path, user: ServerUser | None, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.log_file = folder / "log"
        self.major = 0
        self._user = user
        self._environment = {"PATH": os.defpath, "LC_ALL": "C", **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher = subprocess.Popen(  # noqa: S603 -- this interpreter and a file of ours
            [sys.executable, "-I", "-S", reaper.__file__, str(folder)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @classmethod
    def start(
        cls,
        binaries: ServerBinaries | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        memory_bytes: int = 1 << 30,
    ) -> Self:
        """Make a new cluster and start it.

        `binaries` default to the wheel's. `settings` go into postgresql.conf. `environment` reaches the server
        process (LOCPATH, say). The cluster lies on the memory file system where that has `memory_bytes` free
        (0: never), else in the temporary folder; `directory`, or the environment's CLEANUP_SERVER_DIRECTORY,
        overrides the choice. Raises ServerUnavailable.
        """
        programs = binaries or find_wheel_binaries()
        user = unprivileged_user()
        must_copy = user is not None and bool(programs.parts) and not programs.reachable_by(user)
        parent = directory or choose_parent(user, memory_bytes, must_execute=must_copy)
        server = cls(make_folder(parent, user), user, environment or {})
        try:
            if user is not None and must_copy:
                programs = programs.copied_to(server.folder / "binaries", user)
            server._initialise(programs, settings or {})
            server._launch()
        except BaseException:
            server.close()
            raise
        return server

    def __enter__(self) -> Self:
        """Give the running server."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server and remove all it has."""
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the postmaster; raises ServerUnavailable where it is stopped."""
        if self._process is None:
            raise ServerUnavailable("the embedded server is stopped", hint="start it again with restart().")
        return self._process.pid

    @property
    def host(self) -> str:
        """What libpq wants as the host: the folder of the socket."""
        return str(self.folder)

    def dsn(self, dbname: str = "postgres") -> str:
        """The connection string of one database, as the superuser."""
        words = {"host": self.host, "port": str(PORT), "user": SUPERUSER, "dbname": dbname}
        return " ".join(f"{word}={_quoted(value)}" for word, value in words.items())

    def program(self, name: str) -> str:
        """The path of one program of this server's release, such as `pg_dump`."""
        return self._binaries.program(name)

    def stop(self, mode: StopMode = StopMode.FAST) -> None:
        """End the server and keep its data; returns when it is gone, and does nothing where it is stopped."""
        self._end(mode.value)

    def kill(self) -> None:
        """End the server as a crash does: no word to any client; its data stays for `restart`."""
        if self._process is not None:
            self._end(signal.SIGKILL)
            reaper.wait_for_end(self.folder)

    def restart(self, mode: StopMode = StopMode.FAST) -> None:
        """Start the server on its data, after ending it where it runs; raises ServerUnavailable."""
        self.stop(mode)
        self._launch()

    def close(self) -> None:
        """End the server and remove all it has; safe to call again, and does nothing in a forked child."""
        if is_owner(self.folder):
            self._end(signal.SIGQUIT)
            remove_folder(self.folder)
            self._watcher.wait()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.send_signal(how)
            process.wait()

    def _initialise(self, binaries: ServerBinaries, settings: Mapping[str, str]) -> None:
        self._binaries = binaries
        self.major = binaries.major
        data = self.folder / reaper.DATA
        builtin = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
        locale = builtin if binaries.major >= _BUILTIN_LOCALE_SINCE else ("--locale=C.UTF-8",)
        options = ("--username", SUPERUSER, "--encoding=UTF8", "--auth=trust", "--no-sync", *locale, "--lc-messages=C")
        if self._spawn("initdb", "--pgdata", str(data), *options).wait() != 0:
            raise self._unavailable("initdb failed")
        lines = {"unix_socket_directories": self.host, "port": str(PORT), **_SETTINGS, **settings}
        with (data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = {_quoted_setting(value)}\n" for name, value in lines.items())

    def _launch(self) -> None:
        self._process = self._spawn("postgres", "-D", str(self.folder / reaper.DATA))
        give_up = time.monotonic() + _READY_SECONDS
        while not self._is_ready(self._process.pid):
            if self._process.poll() is not None:
                self._process = None
                raise self._unavailable("the embedded server ended while it started")
            if time.monotonic() > give_up:
                raise self._unavailable(f"the embedded server was not ready after {_READY_SECONDS:.0f} s")
            time.sleep(_LOOK_AGAIN_SECONDS)  # the pid file is the server's only word on readiness, as for pg_ctl

    def _is_ready(self, process: int) -> bool:
        try:
            lines = (self.folder / reaper.DATA / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        # A killed server leaves its file behind, ready as ever: so the first line is compared too.
        return len(lines) >= 8 and lines[0] == str(process) and lines[7].startswith("ready")

    def _spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        alive = os.open(self.folder / reaper.ALIVE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with self.log_file.open("ab") as log:
                reaper.mark_alive(alive)
                return subprocess.Popen(  # noqa: S603 -- programs of the release, and no shell
                    [self._binaries.program(program), *arguments],
                    env=self._environment,
                    cwd="/",
                    umask=0o077,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(alive,),
                    start_new_session=True,
                    user=self._user.user_id if self._user else None,
                    group=self._user.group_id if self._user else None,
                    extra_groups=[] if self._user else None,
                )
        except OSError as error:
            raise self._unavailable(f"{program} can not be run: {error.strerror}") from None
        finally:
            os.close(alive)

    def _unavailable(self, what: str) -> ServerUnavailable:
        said = (
            self.log_file.read_text(encoding="utf-8", errors="replace").splitlines() if self.log_file.exists() else []
        )
        return ServerUnavailable(
            "\n".join([what, *said[-6:]]),
            hint="the lines above are the server's own; check the free space, the limits and the settings they name.",
        )


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'" if not value or escaped != value or " " in value else value


def _quoted_setting(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
