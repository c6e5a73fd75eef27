"""How much a test tries: HYPOTHESIS_PROFILE=long is for the run before a release, and `make test-long` sets it.

Properties have 2,000 examples then instead of 60, and tests marked `scaled` have texts of megabytes; all of these count
among the long tests then, and only then.
"""

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

IS_LONG: Final = os.environ.get("HYPOTHESIS_PROFILE") == "long"
_QUIET: Final = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)

# Here and not in a hook: a property takes the profile that is loaded when its module is imported.
settings.register_profile("cleanup-short", max_examples=60, deadline=None, suppress_health_check=_QUIET)
settings.register_profile("cleanup-long", max_examples=2_000, deadline=None, suppress_health_check=_QUIET)
settings.load_profile("cleanup-long" if IS_LONG else "cleanup-short")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "scaled: does more under HYPOTHESIS_PROFILE=long, and is one of the long then")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count what scales by the profile among the long ones, before anybody selects by that."""
    for item in items if IS_LONG else ():
        if isinstance(item, pytest.Function) and _scales(item):
            item.add_marker(pytest.mark.long)


def _scales(item: pytest.Function) -> bool:
    return bool(getattr(item.function, "is_hypothesis_test", False)) or item.get_closest_marker("scaled") is not None
