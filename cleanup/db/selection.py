"""Which part of a run a rollback undoes: rows of its log, and links within them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from cleanup.db.keys import Key


@dataclass(frozen=True, slots=True)
class Selection:
    """Everything that is given must hold; what is left empty holds for all.

    `created_*` are about the post, `changed_*` about when the run changed it; `since` is included, `until` is not.
    """

    tables: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    authors: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    created_since: datetime | None = None
    created_until: datetime | None = None
    changed_since: datetime | None = None
    changed_until: datetime | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self == Selection()

    def covers(self, label: str) -> bool:
        """Whether a link with that label (platform/kind/decision) is among those asked for."""
        if not (self.platforms or self.kinds or self.decisions):
            return True
        platform, kind, decision = label.split("/") if label else ("", "", "")
        asked = ((self.platforms, platform), (self.kinds, kind), (self.decisions, decision))
        return all(not names or part in names for names, part in asked)

    def stored(self) -> dict[str, object]:
        """The canonical form: equal selections have equal ones; {} is the whole run."""
        stored: dict[str, object] = {
            "tables": sorted(set(self.tables)),
            "keys": [list(key) for key in sorted(set(self.keys))],
            "authors": sorted(set(self.authors)),
            "platforms": sorted(set(self.platforms)),
            "kinds": sorted(set(self.kinds)),
            "decisions": sorted(set(self.decisions)),
            "created_since": _instant_text(self.created_since),
            "created_until": _instant_text(self.created_until),
            "changed_since": _instant_text(self.changed_since),
            "changed_until": _instant_text(self.changed_until),
        }
        return {name: value for name, value in stored.items() if value}

    @classmethod
    def from_stored(cls, stored: Mapping[str, object]) -> Self:
        """Read what `stored` wrote."""
        return cls(
            tables=_texts(stored.get("tables")),
            keys=_keys(stored.get("keys")),
            authors=_texts(stored.get("authors")),
            platforms=_texts(stored.get("platforms")),
            kinds=_texts(stored.get("kinds")),
            decisions=_texts(stored.get("decisions")),
            created_since=_instant(stored.get("created_since")),
            created_until=_instant(stored.get("created_until")),
            changed_since=_instant(stored.get("changed_since")),
            changed_until=_instant(stored.get("changed_until")),
        )


def _instant_text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(UTC).isoformat()


def _instant(stored: object) -> datetime | None:
    return datetime.fromisoformat(stored) if isinstance(stored, str) else None


def _texts(stored: object) -> tuple[str, ...]:
    return tuple(str(one) for one in stored) if isinstance(stored, list) else ()


def _keys(stored: object) -> tuple[Key, ...]:
    return tuple(_texts(key) for key in stored) if isinstance(stored, list) else ()
