"""Triggers that a changed row would fire, and what the config says is to become of them."""

from collections.abc import Iterator
from typing import Final

from cleanup.check_names import CheckName
from cleanup.config import TriggerPolicy
from cleanup.db.check_tables import foreign_keys
from cleanup.db.check_triggers import Trigger, firing_triggers, replication_role
from cleanup.db.checks import Posts
from cleanup.engine.checks.result import CheckResult, block, named, ok, warn
from cleanup.engine.checks.setting import Setting
from cleanup.engine.checks.trigger_source import Effects, effects_of

_ORIGIN: Final = "origin"
_REPLICA: Final = "replica"
# Fire in an ordinary session; fire although session_replication_role is replica.
_ORDINARY: Final = frozenset("OA")
_IRREPRESSIBLE: Final = frozenset("AR")


def triggers(setting: Setting) -> Iterator[CheckResult]:
    """Each trigger with what it touches, judged by its table's policy."""
    role, _ = replication_role(setting.connection)
    fire = _ORDINARY | _IRREPRESSIBLE if role == _REPLICA else _ORDINARY
    for posts in setting.posts:
        suppress = posts.table.triggers is TriggerPolicy.SUPPRESS
        all_of_them = firing_triggers(setting.connection, posts)
        found = [one for one in all_of_them if suppress or one.enabled in fire]
        if not found:
            yield ok(CheckName.TRIGGERS, posts.table.name, "an UPDATE of the configured columns fires none")
        judged = [result for trigger in found for result in _judged(posts, trigger, role)]
        yield from judged
        if all(result.name is not CheckName.TRIGGER_COPIES for result in judged):
            yield ok(CheckName.TRIGGER_COPIES, posts.table.name, "no trigger is seen to copy its texts")


def _judged(posts: Posts, trigger: Trigger, role: str) -> Iterator[CheckResult]:
    effects = effects_of(
        trigger.function, trigger.language, trigger.source, trigger.arguments, frozenset(posts.written)
    )
    subject = f"{posts.table.name}.{trigger.name}"
    what = f"{_described(trigger)}: {effects.describe()}"
    fires = True
    match posts.table.triggers:
        case TriggerPolicy.REFUSE:
            yield block(
                CheckName.TRIGGERS,
                subject,
                what,
                f'decide: triggers = "fire" or "suppress" at [[table]] {posts.table.name}. '
                + _consequences(effects, trigger),
            )
        case TriggerPolicy.FIRE if role == _REPLICA and trigger.enabled not in _IRREPRESSIBLE:
            fires = False
            yield warn(
                CheckName.TRIGGERS,
                subject,
                f"will NOT fire, since sessions begin with session_replication_role = {role}; {what}",
                'take that setting from the role or the database, or say what is so: triggers = "suppress".',
            )
        case TriggerPolicy.FIRE:
            yield warn(CheckName.TRIGGERS, subject, f"will fire; {what}", _consequences(effects, trigger))
        case TriggerPolicy.SUPPRESS if trigger.enabled in _IRREPRESSIBLE:
            yield block(
                CheckName.TRIGGERS,
                subject,
                f"would fire although suppressed (ENABLE {'ALWAYS' if trigger.enabled == 'A' else 'REPLICA'}); {what}",
                'choose triggers = "fire", or ALTER TABLE ... ENABLE TRIGGER without ALWAYS or REPLICA.',
            )
        case TriggerPolicy.SUPPRESS:
            fires = False
            yield warn(
                CheckName.TRIGGERS,
                subject,
                f"will stay silent; {what}",
                "do for the changed rows what it would have done: `cleanup log RUN` has their keys.",
            )
    if fires and effects.copies_text:
        places = ", ".join(effects.tables) or "another place"
        yield block(
            CheckName.TRIGGER_COPIES,
            subject,
            f"would copy texts to {places}",
            "configure that place as a [[table]] too, or see to it after the run.",
        )


def _described(trigger: Trigger) -> str:
    when = "BEFORE" if trigger.is_before else "AFTER"
    each = "" if trigger.is_for_each_row else " for each statement"
    condition = " under a condition" if trigger.has_condition else ""
    others = f" and {trigger.leaves - 1} more table(s)" if trigger.leaves > 1 else ""
    return f"{when} UPDATE{each}{condition} on {trigger.leaf}{others}, {trigger.function}()"


def _consequences(effects: Effects, trigger: Trigger) -> str:
    parts: list[str] = []
    if effects.unqualified and not trigger.has_search_path:
        parts.append(
            f"It names {', '.join(effects.unqualified)} without a schema, and our sessions look in pg_catalog alone: "
            f"ALTER FUNCTION {trigger.function} SET search_path = ..., or no row can be written."
        )
    if effects.times_of_edit:
        parts.append(f"{', '.join(effects.times_of_edit)}: old posts would look edited today.")
    if effects.versions:
        parts.append(f"{', '.join(effects.versions)}: editors that are open would lose to the new version.")
    if effects.tables or effects.notifies:
        parts.append("Whoever reads what it writes gets one entry for each changed row.")
    if effects.may_refuse:
        parts.append("Rows that it refuses end as refused_by_database.")
    return " ".join(parts) or "Read its source before the cutover."


def trigger_suppression(setting: Setting) -> Iterator[CheckResult]:
    """Whether what the config says about triggers can be done by this role, in this database."""
    role, may_set = replication_role(setting.connection)
    wanted = [posts for posts in setting.posts if posts.table.triggers is TriggerPolicy.SUPPRESS]
    problems = [problem for posts in wanted for problem in _suppression(setting, posts, may_set=may_set)]
    if role != _ORIGIN:
        problems.append(
            block(
                CheckName.TRIGGER_SUPPRESSION,
                "",
                f"sessions of this role begin with session_replication_role = {role}: no foreign key is enforced",
                "take the setting from the role or the database; a table's own triggers key says what is silent.",
            )
        )
    yield from problems
    if not problems:
        value = "this role may set session_replication_role" if wanted else "not asked for"
        yield ok(CheckName.TRIGGER_SUPPRESSION, "", value)


def _suppression(setting: Setting, posts: Posts, *, may_set: bool) -> Iterator[CheckResult]:
    if not may_set:
        yield block(
            CheckName.TRIGGER_SUPPRESSION,
            posts.table.name,
            "this role may not set session_replication_role",
            'GRANT SET ON PARAMETER session_replication_role TO the role, or choose triggers = "fire".',
        )
    bound = [key.name for key in foreign_keys(setting.connection, posts)]
    if bound:
        yield block(
            CheckName.TRIGGER_SUPPRESSION,
            posts.table.name,
            f"foreign keys on written columns would not be enforced either: {named(bound)}",
            'choose triggers = "fire", or leave those columns out.',
        )
