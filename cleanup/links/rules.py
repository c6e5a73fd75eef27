"""The rules of a policy once they are read and checked: plain, frozen data."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from cleanup.links.templates import Template
from cleanup.vocabulary import Decision


class ThroughDeepLink(Enum):
    """What an app's deep link takes from the kind of link it opens."""

    NOTHING = "nothing"
    DECISION = "decision"
    KIND = "kind"


class HostMatch(Enum):
    """How a host of the policy compares with a host in a text, by whole labels from the right."""

    EXACT = "exact"
    ONE_LABEL = "one label"
    SUFFIX = "suffix"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a rule comes from, and whether that source is confirmed."""

    name: str
    text: str
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of the source that is a choice, with the policy key that switches it."""

    text: str
    key: str


@dataclass(frozen=True, slots=True)
class KindRule:
    """What the policy decides about one kind of link of one platform.

    `decision` is None where such links are not ours. `beside_live_cue` replaces the decision where
    a live cue stands on the link's line. `looks_inside` says that a link hidden in such a URL
    decides instead. A link that `needs_path` is a mere mention without one. `looked_up` links are
    decided by the resolution map where it knows them. `is_code_cue` links on a line say that share
    codes there are the platform's. A deep link that
    `follows_target` is decided by the link it opens. Links to `counted` hosts are only
    counted. Hosts and app schemes of an `is_wrapper` rule are nothing but wrappers.
    """

    key: str
    platform: str
    kind: str
    label: str
    reason: str
    decision: Decision | None
    source: Source
    beside_live_cue: Decision | None = None
    template: Template | None = None
    looks_inside: bool = False
    needs_path: bool = False
    looked_up: bool = False
    is_code_cue: bool = False
    follows_target: bool = False
    counted: bool = False
    is_wrapper: bool = False
    through_deep_link: ThroughDeepLink = ThroughDeepLink.NOTHING


@dataclass(frozen=True, slots=True)
class HostRule:
    """One host of the policy, with a path prefix or none.

    `path` begins with `/` or is empty; one that ends in `/` covers all below it, any other ends at
    `/`, `?`, `#` or the end of the URL, or goes on with digits where `digits` is set.
    """

    host: str
    match: HostMatch
    path: str
    digits: bool
    kind: KindRule


@dataclass(frozen=True, slots=True)
class SchemeRule:
    """One app scheme (`taobao`), with what must stand after `://`, or nothing."""

    scheme: str
    target: str
    kind: KindRule


@dataclass(frozen=True, slots=True)
class TokenRule:
    """A short host whose path is a token of known length, so that text glued to it is text."""

    host: str
    path: str
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LiveCues:
    """Words that say a line is about a live-stream; `words` count only as whole ASCII words."""

    spellings: tuple[str, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShareCodeRule:
    """How a platform's share codes look and what becomes of them.

    `wrappers` are the currency signs around a strong code; any emoji can stand around a weak one.
    `brackets` are pairs that want a copying cue as well, `pairs` are pairs that do not, and
    `delimiters` are characters that stand beside a weak code and stay outside its span. A spelled
    cue compares case-folded, with the `fillers` left out on both sides.
    """

    strong: KindRule
    weak_beside_cue: KindRule
    weak_without_cue: KindRule
    wrappers: str
    brackets: tuple[str, ...]
    pairs: tuple[str, ...]
    delimiters: str
    strong_lengths: range
    weak_length: int
    product_words: tuple[str, ...]
    cues: tuple[str, ...]
    copying_cues: tuple[str, ...]
    other_app_cues: tuple[str, ...]
    fillers: str


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy, read and checked: everything that decides what becomes of a link.

    `cutover` is aware. `digest` is SHA-256 over what alters results, whatever the file's layout.
    `readings` are the choices that the signers see, `rules` every rule with its source.
    """

    name: str
    version: str
    cutover: datetime
    placeholder: str
    exempt_rows_are_kept: bool
    digest: bytes
    sources: tuple[Source, ...]
    readings: tuple[Reading, ...]
    rules: tuple[KindRule, ...]
    hosts: tuple[HostRule, ...]
    schemes: tuple[SchemeRule, ...]
    tokens: tuple[TokenRule, ...]
    share_codes: tuple[ShareCodeRule, ...]
    live_cues: LiveCues
