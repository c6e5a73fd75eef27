"""The finder: every link of a value in its column's format, each with its decision and reason."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cleanup.links.rules import Policy
from cleanup.links.spans import Recognition
from cleanup.links.text_links import TextReader
from cleanup.vocabulary import ColumnFormat

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Finder:
    """Finds and decides the links of values under one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._reader = TextReader(policy)

    def find(
        self,
        value: str,
        column_format: ColumnFormat,
        *,
        resolution: Mapping[str, str] = _NOTHING,
        json_paths: tuple[str, ...] = (),
        url_replacement: str | None = None,
    ) -> Recognition:
        """Everything the policy says of one value."""
        judge = self._reader.judge(resolution)
        links = self._reader.read(value, judge)
        return Recognition(tuple(links.spans), tuple(links.counted))
