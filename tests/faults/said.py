"""What a process of the job said: one event a line."""

import json
from collections.abc import Iterator


def events(said: str) -> Iterator[dict[str, object]]:
    """The events among the lines; the others are for a person."""
    for line in said.splitlines():
        if line.startswith("{"):
            yield json.loads(line)
