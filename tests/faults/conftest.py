"""What the fault tests share: a site of posts in the test's own database."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import pytest

from tests.faults.jobs import Pace, Site, new_site
from tests.faults.stepping import Stepping
from tests.plugins.servers import WHEEL_MAJOR

MakeSite = Callable[..., Site]
_Test = TypeVar("_Test", bound=Callable[..., None])
_HERE: Final = Path(__file__).parent
_heavy: set[str] = set()


def heavy(test: _Test) -> _Test:
    """A test that starts many processes: it runs on one version by default, and on the others among the long ones."""
    _heavy.add(test.__name__)
    return test


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count heavy tests of further versions among the long ones."""
    for item in items:
        if isinstance(item, pytest.Function) and item.originalname in _heavy and item.path.parent == _HERE:
            version = item.callspec.params.get("major", WHEEL_MAJOR)
            if version != WHEEL_MAJOR:
                item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled patterns and byte code are shared by this session's processes, and not with the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        # Hundreds of processes import the same modules: where byte code is not written, that is most of their time.
        patch.setenv("PYTHONDONTWRITEBYTECODE", "")
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("byte-code")))
        yield


@pytest.fixture
def make_site(database_dsn: str, tmp_path: Path) -> Iterator[MakeSite]:
    """Make the site of a test: `rows` for each of its three tables, and a pace."""

    made: list[Site] = []

    def make(rows: int = 300, pace: Pace | None = None, *, dsn: str = "") -> Site:
        made.append(new_site(dsn or database_dsn, tmp_path, rows, pace or Pace()))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture
def stepping(monkeypatch: pytest.MonkeyPatch) -> Stepping:
    """Plan, apply and rollback in this process, to be held at any point of a batch."""
    return Stepping(monkeypatch)
