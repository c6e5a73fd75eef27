"""Files that a report is written to: whole or not at all, and for their owner alone, since they hold parts of posts."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from cleanup.errors import FolderUnusable


@contextmanager
def new_file(path: Path) -> Iterator[TextIO]:
    """A file that takes its name when it is complete; raises FolderUnusable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made for its owner alone, whatever the umask is.
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
        Path(name).replace(path)
    except OSError as error:
        raise _unusable(path, error) from None
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def _unusable(path: Path, error: OSError) -> FolderUnusable:
    return FolderUnusable(f"{path} can not be written: {error.strerror}", hint="name a file in a folder of yours.")
