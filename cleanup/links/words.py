"""The words of a policy: what its spans and edits say again and again, stored under a number instead."""

from collections.abc import Iterator, Sequence
from typing import Final

from cleanup.compact_json import compact_json
from cleanup.links.rules import KindRule, Policy
from cleanup.vocabulary import Decision

_CHANGES: Final = tuple(decision for decision in Decision if decision.changes_text)


class Words:
    """A fixed list of texts; a number in stored JSON stands for the text in that place."""

    def __init__(self, words: Sequence[str] = ()) -> None:
        self._words = tuple(words)
        self._numbers = {word: str(number) for number, word in enumerate(words)}

    def spell(self, text: str | None) -> str:
        """A text as JSON: the word's number, or itself."""
        number = None if text is None else self._numbers.get(text)
        return compact_json(text) if number is None else number

    def read(self, stored: object) -> str | None:
        """What `spell` was given; raise ValueError where it was something else."""
        if isinstance(stored, str) or stored is None:
            return stored
        if type(stored) is int and 0 <= stored < len(self._words):
            return self._words[stored]
        raise ValueError(f"there is no word {stored!r}")


def policy_words(policy: Policy) -> tuple[str, ...]:
    """What spans and edits under the policy mostly say, the commonest first; equal policies have equal words."""
    kinds = sorted({*policy.rules}, key=lambda rule: rule.key)
    hosts = sorted({rule.host for rule in policy.hosts})
    schemes = sorted({f"{rule.scheme}:" for rule in policy.schemes})
    words = [
        *(decision.value for decision in Decision),
        policy.placeholder,
        *sorted({rule.platform for rule in kinds}),
        *sorted({rule.kind for rule in kinds}),
        *sorted({f"{rule.platform}/{rule.kind}/{decision.value}" for rule in kinds for decision in _CHANGES}),
        *sorted(set(_replacements(kinds))),
        *sorted({rule.reason for rule in kinds}),
        *hosts,
        *schemes,
        *(f"www.{host}" for host in hosts),
    ]
    return tuple(dict.fromkeys(words))


def _replacements(rules: Sequence[KindRule]) -> Iterator[str]:
    """What rewrites put there, where the link itself fills in nothing."""
    for rule in rules:
        if rule.template is not None and not rule.template.fields:
            yield rule.template.text
