"""What a policy would put in the place of a link that it leaves to a person, had it said redact."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cleanup.links.policy import Policy
from cleanup.links.rules import KindRule, ShareCodeRule
from cleanup.links.templates import Template
from cleanup.vocabulary import Decision


@dataclass(frozen=True, slots=True)
class _OrPlaceholder(Template):
    """A template whose links are redacted, too, where they lack a field that it names."""

    placeholder: str = ""

    def fill(self, values: Mapping[str, str]) -> str:
        """The result, or the placeholder."""
        return Template.fill(self, values) or self.placeholder


def redacting(policy: Policy) -> Policy:
    """The same policy with redact wherever it says review; what it finds, and where, is the same."""

    def rule(one: KindRule) -> KindRule:
        return replace(
            one,
            decision=_redact(one.decision),
            beside_live_cue=_redact(one.beside_live_cue),
            template=_filled(one.template, policy.placeholder),
        )

    def codes(one: ShareCodeRule) -> ShareCodeRule:
        return replace(
            one,
            strong=rule(one.strong),
            weak_beside_cue=rule(one.weak_beside_cue),
            weak_without_cue=rule(one.weak_without_cue),
        )

    return replace(
        policy,
        rules=tuple(map(rule, policy.rules)),
        hosts=tuple(replace(host, kind=rule(host.kind)) for host in policy.hosts),
        schemes=tuple(replace(scheme, kind=rule(scheme.kind)) for scheme in policy.schemes),
        share_codes=tuple(map(codes, policy.share_codes)),
    )


def _redact(decision: Decision | None) -> Decision | None:
    return Decision.REDACT if decision is Decision.REVIEW else decision


def _filled(template: Template | None, placeholder: str) -> Template | None:
    if template is None:
        return None
    return _OrPlaceholder(template.text, template.fixed, template.fields, placeholder)
