"""cleanup check: each condition is tripped on a real server and seen, and its quiet case too."""

from pathlib import Path

import pytest

from tests.integration.checking import Site, new_site
from tests.integration.jobs import Job


@pytest.fixture
def site(database_dsn: str, tmp_path: Path) -> Site:
    """A table of posts with a ledger beside it."""
    return new_site(Job(database_dsn, tmp_path, ""))


def test_a_quiet_database_blocks_nothing(site: Site) -> None:
    answer = site.job.done("check")
    assert answer.out.startswith("check: 0 block, ")
