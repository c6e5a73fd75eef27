"""The digests of a plan: one final pass over its findings, in an order that no lane or chunk decides."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from cleanup.db.plans import Plan, PlanLeaf
from cleanup.db.runs import Run
from cleanup.db.tables import DatabaseIdentity

_VERSION: Final = b"cleanup digest 1\n"


@dataclass(frozen=True, slots=True)
class Digests:
    """`findings` is the same wherever the data, policy and config are; `plan` belongs to one database."""

    findings: bytes
    plan: bytes


def compute_digests(plan: Plan, leaves: Sequence[PlanLeaf], finding_hashes: Iterable[bytes]) -> Digests:
    """Digest the plan's basis and its findings' hashes, which come in the fixed order."""
    running = hashlib.sha256(_VERSION)
    running.update(
        _canonical(
            {
                "policy": plan.policy_digest.hex(),
                "words": plan.words,
                "matcher_version": plan.matcher_version,
                "cutover": plan.cutover.isoformat(),
                "settings": plan.settings,
                "delta": plan.base_plan_id is not None,
            }
        )
    )
    for finding_hash in finding_hashes:
        running.update(finding_hash)
    findings = running.digest()
    where = {
        "database": asdict(plan.database_identity),
        "leaves": {leaf.leaf_name: leaf.fingerprint for leaf in leaves},
        "base_plan_id": plan.base_plan_id,
    }
    return Digests(findings, hashlib.sha256(_VERSION + findings + _canonical(where)).digest())


def rollback_digest(database: DatabaseIdentity, source: Run, selection: Mapping[str, object]) -> bytes:
    """What the approval of a rollback names: the run by the head of its log, and which part of it is undone."""
    head = source.log_head.hex() if source.log_head else None
    content = {"database": asdict(database), "run": source.run_id, "log_head": head, "selection": selection}
    return hashlib.sha256(_VERSION + b"rollback" + _canonical(content)).digest()


def _canonical(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
