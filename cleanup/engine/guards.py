"""What has to hold before the first write: the plan is the one that was signed, here, today."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from cleanup.db.approvals import Approval, Approved, makers_of, newest_approval, session_role
from cleanup.db.catalog import database_identity
from cleanup.db.connection import Connection
from cleanup.db.findings import hashes_in_digest_order
from cleanup.db.plans import Plan, PlanLeaf, PlanState, plan_leaves
from cleanup.db.purges import require_findings
from cleanup.db.relocations import is_home
from cleanup.db.session import server_clock
from cleanup.db.tables import Fingerprint, Table
from cleanup.db.targets import Target
from cleanup.engine.batch import difference
from cleanup.engine.digest import compute_digests
from cleanup.engine.job import Job, leaves_of, targets_of
from cleanup.engine.spans import place_of
from cleanup.errors import (
    ApprovalExpired,
    BeforeCutover,
    DigestDiffers,
    FourEyesMissing,
    PlanForeign,
    PlanNotApproved,
    PlanStale,
    PlanUnfinished,
)
from cleanup.links import MATCHER_VERSION

_NEW_PLAN: Final = "make a new plan and have it approved."
_TAMPERED: Final = "the ledger was changed behind the plan's back: keep it as evidence, and make a new plan."
_NONE_CHANGED: Final = (
    "each of them is what its own hash says, so some are missing, added or replaced whole, "
    "or the plan itself was changed"
)
_NAMED: Final = 5


def require_finished(plan: Plan) -> bytes:
    """The digest of a finished plan; raise PlanUnfinished for any other."""
    if plan.state is not PlanState.FINISHED or plan.digest is None:
        raise PlanUnfinished(
            f"plan {plan.plan_id} is {plan.state.value}",
            hint="run `cleanup plan` again to finish it, or make a new one.",
        )
    return plan.digest


def is_here(connection: Connection, plan: Plan) -> bool:
    """Whether the plan was made in this very database."""
    present, planned = database_identity(connection), plan.database_identity
    return (present.system_identifier, present.database_oid) == (planned.system_identifier, planned.database_oid)


def require_here(connection: Connection, plan: Plan) -> None:
    """Raise PlanForeign unless the plan was made in this very database."""
    if not is_here(connection, plan):
        raise _foreign(connection, plan, "connect to that database, or make a plan here.")


def require_home(connection: Connection, plan: Plan) -> None:
    """Raise PlanForeign unless the plan was made here, or in a database whose place this one takes by recorded word.

    Enough for whatever looks at values one by one, by key and hash: to go back, and to prove.
    """
    if not is_home(connection, plan.plan_id):
        hint = "connect to that database; where this one takes its place: cleanup init --moved-here REASON."
        raise _foreign(connection, plan, hint)


def _foreign(connection: Connection, plan: Plan, hint: str) -> PlanForeign:
    present, planned = database_identity(connection), plan.database_identity
    return PlanForeign(
        f"plan {plan.plan_id} was made in {planned.database_name!r} of server {planned.system_identifier}, "
        f"this is {present.database_name!r} of {present.system_identifier}",
        hint=hint,
    )


def require_same_rules(plan: Plan, job: Job) -> None:
    """Raise PlanStale where policy, matcher or config would decide differently than the plan did."""
    if plan.policy_digest != job.policy.digest:
        raise PlanStale(
            f"the policy has changed: plan {plan.plan_id} has {plan.policy_name} {plan.policy_version} "
            f"({plan.policy_digest.hex()[:16]}), the file is {job.policy.name} {job.policy.version} "
            f"({job.policy.digest.hex()[:16]})",
            hint=_NEW_PLAN,
        )
    if plan.matcher_version != MATCHER_VERSION:
        raise PlanStale(
            f"the matcher has changed: version {plan.matcher_version} then, version {MATCHER_VERSION} now",
            hint=_NEW_PLAN,
        )
    require_same_settings(plan, job, hint=_NEW_PLAN)


def require_same_settings(plan: Plan, job: Job, *, hint: str) -> None:
    """Raise PlanStale where the config's tables, columns or predicates are not the plan's."""
    present = job.config.result_settings()
    if plan.settings != present:
        raise PlanStale(f"the config has changed: {_settings_difference(plan.settings, present)}", hint=hint)


def require_same_tables(
    connection: Connection, plan: Plan, tables: list[Table]
) -> tuple[dict[int, Target], dict[int, Fingerprint]]:
    """The plan's targets and fingerprints; raise PlanStale where a table, key or collation version has changed."""
    planned = {leaf.leaf_name: leaf for leaf in plan_leaves(connection, plan.plan_id)}
    present = {leaf.leaf_name: leaf for _, leaf in leaves_of(connection, tables)}
    for name, leaf in planned.items():
        now = present.get(name)
        if now is None or now.fingerprint != leaf.fingerprint:
            raise PlanStale(
                f"{name} has changed since the plan: {difference(leaf.fingerprint, now.fingerprint if now else None)}",
                hint=_NEW_PLAN,
            )
    added = sorted(present.keys() - planned.keys())
    if added:
        raise PlanStale(
            f"{', '.join(added)} was not there when plan {plan.plan_id} was made, so nobody has seen its posts",
            hint=_NEW_PLAN,
        )
    targets = targets_of(tables, list(planned.values()), plan.cutover)
    return targets, {leaf.leaf_number: leaf.fingerprint for leaf in planned.values()}


def leaf_oids(leaves: list[PlanLeaf]) -> frozenset[int]:
    """The very tables that a plan has read: a name alone may stand for another table by now."""
    oids = (leaf.fingerprint["oid"] for leaf in leaves)
    return frozenset(oid for oid in oids if isinstance(oid, int))


def require_approval(connection: Connection, plan: Plan, now: datetime, *, four_eyes: bool) -> Approval:
    """The approval that the plan's run will consume; raise what is wrong with it."""
    digest = require_finished(plan)
    hint = f"after reading its report: cleanup approve {plan.plan_id} --digest {digest.hex()} --by NAME --ticket TICKET"
    approval = require_signature(connection, Approved(plan.plan_id), digest, now, f"plan {plan.plan_id}", hint)
    if four_eyes:
        require_second_person(connection, plan.plan_id, approval.approved_by)
    return approval


def require_second_person(connection: Connection, plan_id: int, role: str) -> None:
    """Raise FourEyesMissing where the role that signs has made the plan; names typed beside it do not count."""
    if role in makers_of(connection, plan_id):
        raise FourEyesMissing(
            f"plan {plan_id} was made or reviewed by {role}, and four_eyes asks for another role to approve it",
            hint="somebody else has to approve it, logged in as another role; --by alone makes no second person.",
        )


def require_other_person_to_start(connection: Connection, approval: Approval, name: str) -> None:
    """Raise FourEyesMissing where the role that is about to start it has signed it: nobody has planned a rollback."""
    role = session_role(connection)
    if approval.approved_by == role:
        raise FourEyesMissing(
            f"{name} was approved by {role}, and four_eyes asks for another role to start it",
            hint="somebody else has to start or to approve it, logged in as another role.",
        )


def require_signature(
    connection: Connection, approved: Approved, digest: bytes, now: datetime, name: str, hint: str
) -> Approval:
    """The approval of that digest, still good at `now`; raise what is wrong with it."""
    approval = newest_approval(connection, approved)
    if approval is None:
        raise PlanNotApproved(f"{name} has no approval", hint=hint)
    if approval.digest != digest:
        raise DigestDiffers(f"the approval is for digest {approval.digest.hex()}, {name} has {digest.hex()}", hint=hint)
    if approval.expires_at <= now:
        raise ApprovalExpired(
            f"the approval of {name} by {approval.approver} ran out at {approval.expires_at.isoformat()}", hint=hint
        )
    return approval


def require_signed_findings(connection: Connection, plan: Plan) -> None:
    """Raise DigestDiffers unless the findings in the ledger are still those that make the plan's digest."""
    require_findings(connection, plan.plan_id)
    named, changed = list[str](), 0

    def hashes() -> Iterator[bytes]:
        # The digest is over the findings as they are; what each says of itself names those that were changed. Each lane
        # looks again before it writes; but then a run is open already, and batches of it are written.
        nonlocal changed
        for finding_hash, place in hashes_in_digest_order(connection, plan.plan_id):
            if place is not None:
                changed += 1
                if len(named) < _NAMED:
                    named.append(place_of(*place))
            yield finding_hash

    digests = compute_digests(plan, plan_leaves(connection, plan.plan_id), hashes())
    places = "; ".join(named) + (f"; and {changed - len(named):,} more" if changed > len(named) else "")
    if digests.plan != plan.digest:
        raise DigestDiffers(
            f"the findings of plan {plan.plan_id} make the digest {digests.plan.hex()}, its own is "
            f"{(plan.digest or b'').hex()}: {places or _NONE_CHANGED}",
            hint=_TAMPERED,
        )
    if changed:
        raise DigestDiffers(f"findings of plan {plan.plan_id} are not what was signed: {places}", hint=_TAMPERED)


def require_cutover(connection: Connection, plan: Plan) -> datetime:
    """The server's time; raise BeforeCutover while the cutover has not come."""
    now = server_clock(connection)
    if now < plan.cutover:
        left = str(plan.cutover - now).partition(".")[0]
        raise BeforeCutover(
            f"the cutover is {plan.cutover.isoformat()}, the server's clock says {now.isoformat()}: {left} to go",
            hint="run the same command from then on, or now with --wait.",
        )
    return now


def _settings_difference(planned: dict[str, object], present: dict[str, object]) -> str:
    parts: list[str] = []
    for table in sorted(planned.keys() | present.keys()):
        before, after = planned.get(table), present.get(table)
        if before == after:
            continue
        if not isinstance(before, dict) or not isinstance(after, dict):
            parts.append(f"{table}: {'removed' if after is None else 'added'}")
            continue
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                parts.append(f"{table}.{key}: {_plain(before.get(key))} then, {_plain(after.get(key))} now")
    return "; ".join(parts)


def _plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
