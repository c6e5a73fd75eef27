"""What is to become of one planned value, judged on the row as it is under our lock."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, TypeVar

from cleanup.db.batch_exchange import LockedRow
from cleanup.db.keys import Key
from cleanup.links.edits import Edit


class Outcome(Enum):
    """Where a span ends, and the finding that it is of; every one ends in exactly one of these."""

    CHANGED = "changed"
    CHANGED_AFTER_EDIT = "changed_after_edit"
    ALTERED_BY_TRIGGER = "altered_by_trigger"
    RESTORED = "restored"
    RESTORED_AFTER_EDIT = "restored_after_edit"
    RESTORED_IN_PART = "restored_in_part"
    ALREADY_CLEAN = "already_clean"
    ALREADY_RESTORED = "already_restored"
    ROW_GONE = "row_gone"
    EXEMPT_NOW = "exempt_now"
    OUT_OF_SCOPE_NOW = "out_of_scope_now"
    LOCKED_OUT = "locked_out"
    REFUSED_BY_DATABASE = "refused_by_database"
    UNREADABLE_NOW = "unreadable_now"
    AWAITING_REVIEW = "awaiting_review"
    KEPT = "kept"
    CONFLICT = "conflict"

    @property
    def leaves_work(self) -> bool:
        """Whether somebody still has to do something about it: then the exit status is not zero."""
        return self in _LEAVES_WORK


_LEAVES_WORK: Final = frozenset(
    {
        Outcome.LOCKED_OUT,
        Outcome.REFUSED_BY_DATABASE,
        Outcome.UNREADABLE_NOW,
        Outcome.AWAITING_REVIEW,
        Outcome.RESTORED_IN_PART,
        Outcome.CONFLICT,
    }
)


class Change(NamedTuple):
    """A new text for a value, and the edits that lead back from it; None is NULL, and empty to the edits.

    The hashes are those of the two texts.
    """

    before: str | None
    after: str | None
    edits: tuple[Edit, ...]
    hash_before: bytes
    hash_after: bytes


class ConflictReason(Enum):
    """Why a rollback left a link as it is."""

    VALUE_IS_NULL = "value_is_null"
    NOT_FOUND = "not_found"
    NOT_UNIQUE = "not_unique"
    OVERWRITTEN = "overwritten"
    LOG_DIFFERS = "log_differs"
    WOULD_BREAK_JSON = "would_break_json"
    NOT_AS_WRITTEN = "not_as_written"

    @property
    def sentence(self) -> str:
        """The reason, for a person."""
        return _SENTENCES[self]


_SENTENCES: Final = {
    ConflictReason.VALUE_IS_NULL: "the value is NULL now",
    ConflictReason.NOT_FOUND: "what the run put there is gone, or an author rewrote the text around it",
    ConflictReason.NOT_UNIQUE: "what the run put there stands in several places that look alike",
    ConflictReason.OVERWRITTEN: "a later run wrote over it: roll that one back first",
    ConflictReason.LOG_DIFFERS: "the log row does not lead back to the text that it says",
    ConflictReason.WOULD_BREAK_JSON: "with the link back, the edited value would be no JSON any more",
    ConflictReason.NOT_AS_WRITTEN: "somebody wrote the value since, and psql's rollback looks for no place: `cleanup "
    "rollback` does",
}


@dataclass(frozen=True, slots=True)
class Conflict:
    """One link of a value that is left as it is, by its number among the value's links."""

    link_number: int
    reason: ConflictReason


class Verdict(NamedTuple):
    """What becomes of one value. `spans` counts its spans by outcome; `edited` says that an author came first."""

    outcome: Outcome
    change: Change | None = None
    detail: str | None = None
    edited: bool = False
    spans: Mapping[str, int] = MappingProxyType({})
    conflicts: tuple[Conflict, ...] = ()


class Item(Protocol):
    """One value that a run visits: a finding, or a log row of the run that is rolled back."""

    @property
    def finding_number(self) -> int:
        """Where it stands in the plan."""
        ...

    @property
    def leaf_number(self) -> int:
        """The leaf of its row."""
        ...

    @property
    def column_number(self) -> int:
        """The configured column."""
        ...

    @property
    def key(self) -> Key:
        """The key of its row."""
        ...

    @property
    def created_at(self) -> datetime | None:
        """When the post was created."""
        ...

    @property
    def author(self) -> str | None:
        """Who wrote the post."""
        ...


SomeItem = TypeVar("SomeItem", bound=Item)
ItemJudged_contra = TypeVar("ItemJudged_contra", bound=Item, contravariant=True)


class Judge(Protocol[ItemJudged_contra]):
    """Decides values; one kind applies a plan, the other rolls a run back."""

    def judge(self, item: ItemJudged_contra, row: LockedRow) -> Verdict:
        """What becomes of the value, given the row as it is now."""
        ...

    def span_count(self, item: ItemJudged_contra) -> int:
        """How many spans the value has that the run is to change."""
        ...
