"""The policy's platforms: their kinds, hosts, paths, app schemes and tokens."""

import re
from dataclasses import replace
from enum import Enum
from typing import Final, TypeVar

from cleanup.document import Section
from cleanup.links.hosts import is_policy_host
from cleanup.links.rules import HostMatch, HostRule, KindRule, SchemeRule, Source, ThroughDeepLink, TokenRule
from cleanup.links.templates import Template, parse_template
from cleanup.vocabulary import Decision

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{1,30}\Z")
_DIGITS: Final = "<digits>"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+\Z")
_Place = TypeVar("_Place")


class Effect(Enum):
    """What a policy can say of a kind: a decision, or that such links are not ours."""

    REDACT = "redact"
    REWRITE = "rewrite"
    REVIEW = "review"
    KEEP = "keep"
    NONE = "none"


class PlatformReader:
    """Collects the rules of one policy file and notes where two of them contradict."""

    def __init__(self, sources: dict[str, Source]) -> None:
        self._sources = sources
        self._titles: dict[str, str] = {}
        self._platform_sources: dict[str, Source] = {}
        self._host_places: dict[tuple[str, HostMatch, str], str] = {}
        self._scheme_places: dict[tuple[str, str], str] = {}
        self.rules: list[KindRule] = []
        self.hosts: list[HostRule] = []
        self.schemes: list[SchemeRule] = []
        self.tokens: list[TokenRule] = []

    def title(self, section: Section, platform: str) -> str:
        """The name of a platform for people; an unknown platform is noted as a problem."""
        if platform not in self._titles:
            known = ", ".join(self._titles) or "none"
            section.problem(platform, f"is an unknown platform; the platforms of this policy are {known}")
        return self._titles.get(platform, platform)

    def read_platforms(self, table: Section) -> None:
        """Read `[platforms.*]` with their `kinds`."""
        for platform in table.keys():  # noqa: SIM118 - a Section is no mapping
            entry = table.section(platform)
            self._titles[platform] = entry.text("title")
            _require_plain(table, platform)
            self._platform_sources[platform] = self.read_source(entry)
            kinds = entry.section("kinds")
            for kind in kinds.keys():  # noqa: SIM118
                _require_plain(kinds, kind)
                self._read_kind(kinds.section(kind), platform, kind)
            entry.close()

    def read_wrappers(self, table: Section) -> None:
        """Read `[wrappers]`: hosts whose URLs count as wrappers even without their scheme."""
        rule = replace(self._passive(table, "wrapped", "redirect wrapper"), is_wrapper=True)
        self._read_places(table, rule)
        table.close()

    def read_counted(self, table: Section) -> None:
        """Read `[count]`: hosts that are only counted."""
        rule = replace(self._passive(table, "counted", "counted host"), counted=True)
        self._read_places(table, rule)
        table.close()

    def read_tokens(self, document: Section) -> None:
        """Read `[[short_tokens]]`: the lengths of tokens on short hosts."""
        for entry in document.sections("short_tokens"):
            path = entry.text("path").lower()
            lengths = entry.integers("lengths", minimum=1)
            for host in entry.texts("hosts"):
                if self._is_host(entry, "hosts", host):
                    self.tokens.append(TokenRule(host, path, lengths))
            entry.close()

    def read_source(self, entry: Section, default: Source | None = None) -> Source:
        """The source that a rule names; `default` where it names none."""
        if default is not None and not entry.has("source"):
            return default
        name = entry.text("source")
        if name not in self._sources:
            entry.problem("source", f"names {name!r}; the sources are {', '.join(self._sources) or 'none'}")
        return self._sources.get(name, Source(name, "", False))

    def read_rule(
        self, entry: Section, platform: str, kind: str, *, label: str = "", key: str = "decision"
    ) -> KindRule:
        """Read one rule: the decision under `key`, its reason, source and template."""
        title = self._titles.get(platform, platform)
        effect = entry.member(key, Effect)
        label = label or entry.text("label", kind.replace("_", " "))
        rule = KindRule(
            key=entry.path(key),
            platform=platform,
            kind=kind,
            label=label,
            reason=entry.text("reason", f"{title} {label}"),
            decision=None if effect is Effect.NONE else Decision(effect.value),
            source=self.read_source(entry, self._platform_sources.get(platform)),
            beside_live_cue=_optional_decision(entry, "beside_live_cue"),
            template=read_template(entry, needed=effect is Effect.REWRITE),
        )
        self.rules.append(rule)
        return rule

    def _read_kind(self, entry: Section, platform: str, kind: str) -> None:
        rule = replace(
            self.read_rule(entry, platform, kind),
            looks_inside=entry.boolean("looks_inside", False),
            needs_path=entry.boolean("needs_path", False),
            looked_up=entry.boolean("looked_up", False),
            is_code_cue=entry.boolean("is_code_cue", False),
            follows_target=entry.boolean("follows_target", False),
            through_deep_link=entry.member("through_deep_link", ThroughDeepLink, ThroughDeepLink.NOTHING),
        )
        self.rules[-1] = rule
        self._read_places(entry, replace(rule, reason=rule.reason.replace("{name}", self._titles[platform])))
        for group in entry.sections("groups"):
            named = replace(rule, reason=rule.reason.replace("{name}", group.text("name")))
            self._read_places(group, named)
            group.close()
        entry.close()

    def _passive(self, table: Section, kind: str, label: str) -> KindRule:
        source = self.read_source(table, Source("", "", False)) if table.has("source") else Source("", "", False)
        return KindRule(
            key=table.place,
            platform=kind,
            kind=kind,
            label=label,
            reason=label,
            decision=None,
            source=source,
            looks_inside=True,
        )

    def _read_places(self, entry: Section, rule: KindRule) -> None:
        for text in entry.texts("hosts", ()):
            self._add_host(entry, text, rule)
        for text in entry.texts("schemes", ()):
            self._add_scheme(entry, text, rule)

    def _add_host(self, entry: Section, text: str, rule: KindRule) -> None:
        host, slash, path = text.partition("/")
        match = HostMatch.SUFFIX
        if host.startswith("="):
            host, match = host[1:], HostMatch.EXACT
        elif host.startswith("*."):
            host, match = host[2:], HostMatch.ONE_LABEL
        if not self._is_host(entry, "hosts", host):
            return
        digits = path.endswith(_DIGITS)
        path = (slash + path.removesuffix(_DIGITS)).lower()
        if not self._is_new(entry, "hosts", text, self._host_places, (host, match, path)):
            return
        self.hosts.append(HostRule(host, match, path, digits, rule))

    def _add_scheme(self, entry: Section, text: str, rule: KindRule) -> None:
        scheme, separator, target = text.lower().partition("://")
        if not separator or not _SCHEME.match(scheme) or scheme in ("http", "https"):
            entry.problem("schemes", f"holds {text!r}, which is no app scheme; write it as taobao:// or app://page")
        elif self._is_new(entry, "schemes", text, self._scheme_places, (scheme, target)):
            self.schemes.append(SchemeRule(scheme, target, rule))

    def _is_host(self, entry: Section, key: str, host: str) -> bool:
        if is_policy_host(host):
            return True
        entry.problem(key, f"holds {host!r}, which is no host; write it in lower case, without scheme or port")
        return False

    def _is_new(self, entry: Section, key: str, text: str, places: dict[_Place, str], place: _Place) -> bool:
        here = entry.path(key)
        earlier = places.setdefault(place, here)
        if earlier is here:
            return True
        entry.problem(key, f"holds {text!r}, which stands under {earlier} too; one link has one rule")
        return False


def _optional_decision(entry: Section, key: str) -> Decision | None:
    return entry.member(key, Decision) if entry.has(key) else None


def read_template(entry: Section, *, needed: bool) -> Template | None:
    """The template of a rule that rewrites; one without a use, or missing, is noted as a problem."""
    text = entry.optional_text("template")
    if text is None:
        if needed:
            entry.problem("template", "is missing; a rule that rewrites needs one")
        return None
    if not needed:
        entry.problem("template", 'has no use here; only the decision "rewrite" takes one')
    template, wrong = parse_template(text)
    if wrong:
        entry.problem("template", wrong)
    return template


def _require_plain(table: Section, name: str) -> None:
    # Labels of spans are written platform/kind/decision.
    if not _PLAIN.match(name):
        table.problem(name, "is no plain name: letters, digits, - and _ only")
