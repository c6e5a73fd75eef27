"""A headless Chromium for the tests of pages; Debian's is installed where it is missing and we may.

Fixture: `chromium` (its path). Where there is none and none can be installed, those tests are skipped, and the
session's last lines say so.
"""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from cleanup.demo.folders import DIRECTORY_VARIABLE
from tests.browser.chromium import find_chromium

_MISSING: Final = "no Chromium"
_INSTALL: Final = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path."""
    found = find_chromium() or _install()
    if found is None:
        pytest.skip(f"{_MISSING}: install Debian's package chromium, or run the tests once as root")
    return found


def _install() -> str | None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    # One worker installs, the others wait for it.
    with Path(os.environ[DIRECTORY_VARIABLE], "chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if find_chromium() is None:
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            for words in (("apt-get", "update", "--quiet"), _INSTALL):
                subprocess.run(words, check=False, capture_output=True, env=environment)
    return find_chromium()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud that pages were not looked at."""
    skipped = terminalreporter.stats.get("skipped", [])
    missed = [report for report in skipped if _MISSING in str(report.longrepr)]
    if missed:
        terminalreporter.section("PAGES WERE NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(f"{len(missed)} tests need Chromium, which is neither here nor could be installed.")
