"""Which rule of the policy a host, or an app scheme, falls under."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cleanup.links.rules import HostMatch, HostRule, KindRule, SchemeRule, TokenRule

_PATH_END: Final = "/?#"
_LONGEST_PATH: Final = 256
# DNS knows no longer name; a longer one would cost its length for each of its labels, and would be remembered.
_LONGEST_HOST: Final = 254
_HOSTS_REMEMBERED: Final = 4_096
_DIGITS: Final = re.compile(r"[0-9]")
# How rules may name a host's suffix, by how many labels that lacks: all of one group compete by their paths.
_MATCHES: Final = {
    0: ((HostMatch.EXACT, HostMatch.SUFFIX),),
    1: ((HostMatch.ONE_LABEL,), (HostMatch.SUFFIX,)),
}
_DEEPER: Final = ((HostMatch.SUFFIX,),)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the policy has for one host: the shortest of its hosts that covers it, every rule that it can fall under in
    the order in which they win, and the tokens of short hosts."""

    root: str | None = None
    rules: tuple[HostRule, ...] = ()
    tokens: tuple[TokenRule, ...] = ()


_UNKNOWN: Final = _Known()


class HostTable:
    """The hosts and schemes of one policy, looked up by whole labels from the right."""

    def __init__(self, hosts: Iterable[HostRule], schemes: Iterable[SchemeRule], tokens: Iterable[TokenRule]) -> None:
        self._by_host: dict[tuple[str, HostMatch], list[HostRule]] = {}
        for rule in hosts:
            self._by_host.setdefault((rule.host, rule.match), []).append(rule)
        self._names = frozenset(host for host, _ in self._by_host)
        # The same few hosts come again and again.
        self._remembered = lru_cache(maxsize=_HOSTS_REMEMBERED)(self._look_up)
        self._by_scheme: dict[str, list[SchemeRule]] = {}
        for scheme_rule in schemes:
            self._by_scheme.setdefault(scheme_rule.scheme, []).append(scheme_rule)
        for targets in self._by_scheme.values():
            targets.sort(key=lambda rule: len(rule.target), reverse=True)
        self.longest_scheme = max(map(len, self._by_scheme), default=0)
        self._tokens: dict[str, list[TokenRule]] = {}
        for token in tokens:
            self._tokens.setdefault(token.host, []).append(token)

    def root(self, host: str) -> str | None:
        """The shortest host of the policy that covers this one, or None."""
        return self._known(host).root

    def _known(self, host: str) -> _Known:
        return self._remembered(host) if len(host) <= _LONGEST_HOST else _UNKNOWN

    def _look_up(self, host: str) -> _Known:
        suffixes = list(_suffixes(host))
        named = [(depth, suffix) for depth, suffix in enumerate(suffixes) if suffix in self._names]
        rules: list[HostRule] = []
        for depth, suffix in named:
            # One label more than `*.suffix` outranks the suffix itself, and any host that is named outranks it.
            for matches in _MATCHES.get(depth, _DEEPER):
                found = [rule for match in matches for rule in self._by_host.get((suffix, match), ())]
                rules += sorted(found, key=lambda rule: len(rule.path), reverse=True)
        tokens = tuple(token for suffix in suffixes for token in self._tokens.get(suffix, ()))
        return _Known(named[-1][1] if named else None, tuple(rules), tokens)

    def host_rule(self, host: str, rest: str) -> HostRule | None:
        """The rule for a URL; the longest host wins, then the longest path.

        `host` is mapped as a browser does, `rest` is path, query and fragment.
        """
        rules = self._known(host).rules
        if not rules:
            return None
        path = rest[:_LONGEST_PATH].lower()
        path = path if path.startswith("/") else "/" + path
        for rule in rules:
            if not rule.path or _is_under(path, rule.path, digits=rule.digits):
                return rule
        return None

    def scheme_rule(self, scheme: str, target: str) -> KindRule | None:
        """The rule for an app's deep link; `target` is what stands after `://`."""
        lowered = target[:_LONGEST_PATH].lower()
        for rule in self._by_scheme.get(scheme, ()):
            if _is_under(lowered, rule.target):
                return rule.kind
        return None

    def is_scheme(self, scheme: str) -> bool:
        """Whether the policy has a rule for this app scheme."""
        return scheme in self._by_scheme

    def token_lengths(self, host: str, rest: str) -> tuple[str, tuple[int, ...]] | None:
        """The path before a short host's token and the lengths it may have, tried in order."""
        for token in self._known(host).tokens:
            if rest[: len(token.path)].lower() == token.path:
                return token.path, token.lengths
        return None


def _suffixes(host: str) -> Iterable[str]:
    suffix = host
    while suffix:
        yield suffix
        suffix = suffix.partition(".")[2]


def _is_under(path: str, prefix: str, *, digits: bool = False) -> bool:
    if not path.startswith(prefix):
        return False
    if not prefix or prefix[-1] in "/_":
        return True
    following = path[len(prefix) : len(prefix) + 1]
    if digits:
        return bool(_DIGITS.match(following))
    return following == "" or following in _PATH_END
