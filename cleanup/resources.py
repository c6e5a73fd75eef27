"""Where the files that ship beside the code are: in a checkout at its root, in a wheel inside the package."""

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent
_IN_WHEEL: Final = _PACKAGE / "_data"
_BASE: Final = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent


def sql_directory() -> Path:
    """The folder with `schema.sql`, `migrations/`, `queries/` and `demo/`."""
    return _BASE / "sql"


def config_directory() -> Path:
    """The folder with the policies, the example config and the demo's config."""
    return _BASE / "config"
