"""Leases that end while a test waits; those of the other tests last an hour, so that nobody waits for their end."""

from typing import Final

from tests.faults.jobs import Site

# The shortest that the config takes.
LEASE_SECONDS: Final = 5
_AN_HOUR: Final = "lease_seconds = 3600"


def shorten_lease(site: Site) -> None:
    """Let the leases of the site's later jobs be short."""
    text = site.config.read_text(encoding="utf-8")
    assert _AN_HOUR in text
    site.config.write_text(text.replace(_AN_HOUR, f"lease_seconds = {LEASE_SECONDS}"), encoding="utf-8")
