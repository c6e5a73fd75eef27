"""What the integration tests share: a site of posts, and the environment in which its jobs are started."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.jobs import Pace, Site, new_site
from tests.integration.jobs import subprocess_environment
from tests.integration.watched import PACE

MakeSite = Callable[..., Site]


@pytest.fixture
def pace() -> Pace:
    """How a site's jobs work where a test says nothing else; a module may have another one."""
    return PACE


@pytest.fixture
def make_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pace: Pace) -> Iterator[MakeSite]:
    """Make the site of a test in a database: its three tables with so many rows each, and more lines of config."""
    for name, value in subprocess_environment().items():
        monkeypatch.setenv(name, value)
    made: list[Site] = []

    def make(dsn: str, config: str = "", rows: int = 30, pace: Pace = pace) -> Site:
        made.append(new_site(dsn, tmp_path, rows, pace))
        with made[-1].config.open("a", encoding="utf-8") as file:
            file.write(config)
        return made[-1]

    yield make
    for site in made:
        site.close()
