"""The shipped policy with more hosts than anybody has."""

from pathlib import Path
from typing import Final

from cleanup.resources import config_directory

_PLATFORM: Final = """
[platforms.bench]
title = "Bench"
source = "reading"
[platforms.bench.kinds.shop]
label = "shop page"
decision = "redact"
hosts = [{hosts}]
"""


def policy_with_hosts(folder: Path, shipped: str, hosts: int) -> str:
    """Write the shipped policy with so many further hosts, which no post names; the new file's name."""
    named = ", ".join(f'"shop-{number}.market-{number % 97}.example"' for number in range(hosts))
    text = (config_directory() / shipped).read_text(encoding="utf-8") + _PLATFORM.format(hosts=named)
    name = f"policy-with-{hosts}-more-hosts.toml"
    (folder / name).write_text(text, encoding="utf-8")
    return name
