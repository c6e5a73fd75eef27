"""Values that are links by what their row says, whatever they look like: an item's number in a product card."""

from cleanup.links.outcomes import decided_span
from cleanup.links.rules import KindRule, Policy
from cleanup.links.spans import Recognition


def rule_of(policy: Policy, platform: str, kind: str) -> KindRule | None:
    """The policy's rule for a kind of link of a platform, if it has one."""
    return next((rule for rule in policy.rules if (rule.platform, rule.kind) == (platform, kind)), None)


def whole_value(policy: Policy, rule: KindRule, value: str, replacement: str | None) -> Recognition:
    """One span over the whole value, decided by its rule; `replacement` takes the placeholder's place."""
    if not value or rule.decision is None:
        return Recognition()
    span = decided_span(
        0,
        len(value),
        rule,
        kind=rule.kind,
        host="",
        reason=rule.reason,
        live_cue=None,
        placeholder=policy.placeholder if replacement is None else replacement,
        fields=lambda: {"platform": rule.platform, "kind": rule.kind, "item_id": value},
    )
    return Recognition((span,))
