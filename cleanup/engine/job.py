"""What every verb that works on posts starts from: the config, the policy, and the tables as they are now."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cleanup import VERSION
from cleanup.config import JobConfig
from cleanup.db.catalog import database_identity, fingerprint
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.describe import describe_table, require_resolution
from cleanup.db.plans import PlanBasis, PlanLeaf
from cleanup.db.resolution import look_up
from cleanup.db.tables import Table
from cleanup.db.targets import Target
from cleanup.engine.matching import Resolve
from cleanup.errors import ConfigInvalid, TableUnknown
from cleanup.links import MATCHER_VERSION
from cleanup.links.link_rows import rule_of
from cleanup.links.policy import Policy
from cleanup.links.words import policy_words
from cleanup.vocabulary import ColumnFormat


@dataclass(frozen=True, slots=True)
class Job:
    """One job: where the posts are, what is configured, which policy holds.

    `deadline` is when it is to stop between batches, on the monotonic clock. `scan_dsn` leads to a standby that a plan
    reads the posts from, and is empty where it reads the primary.
    """

    dsn: str
    config: JobConfig
    policy: Policy
    pattern_cache: Path | None
    deadline: float | None = None
    scan_dsn: str = ""

    def formats(self) -> frozenset[ColumnFormat]:
        """Every format that a configured column, or a leaf of one, has."""
        columns = [column for table in self.config.tables for column in table.columns]
        leaves = [leaf_format for column in columns for _, leaf_format in column.leaf_formats]
        return frozenset([*(column.format for column in columns), *leaves])


def describe_tables(connection: Connection, job: Job) -> list[Table]:
    """Every configured table as the catalog has it, or the first refusal."""
    _require_rules(job)
    tables = [describe_table(connection, table) for table in job.config.tables]
    if job.config.resolution is not None:
        require_resolution(connection, job.config.resolution)
    if job.policy.exempt_rows_are_kept:
        return tables
    return [replace(table, exempt=None, exempt_by=None) for table in tables]


def _require_rules(job: Job) -> None:
    for table in job.config.tables:
        for column in table.columns:
            wanted = column.link_rows
            if wanted is not None and rule_of(job.policy, wanted.platform, wanted.kind) is None:
                raise ConfigInvalid(
                    f"{job.config.file}: table {table.name!r}, column {column.name!r}, link_rows: policy "
                    f"{job.policy.name!r} has no kind {wanted.kind!r} of platform {wanted.platform!r}",
                    hint="name a platform and kind of the policy.",
                )


def leaves_of(connection: Connection, tables: list[Table]) -> list[tuple[Table, PlanLeaf]]:
    """The leaves of the tables in scan order, each with its fingerprint."""
    found: list[tuple[Table, PlanLeaf]] = []
    for table in tables:
        for leaf in table.leaves:
            content = fingerprint(connection, leaf, table.key_names())
            if content is None:
                raise TableUnknown(f"{leaf.full_name} is gone", hint="run the command again.")
            found.append((table, PlanLeaf(len(found) + 1, table.name, leaf.full_name, content, leaf.row_estimate)))
    return found


def targets_of(tables: list[Table], leaves: list[PlanLeaf], cutover: datetime) -> dict[int, Target]:
    """The targets of a plan's leaves, by leaf number; a leaf that is gone is left out."""
    present = {leaf.full_name: (table, leaf) for table in tables for leaf in table.leaves}
    return {
        planned.leaf_number: Target(*present[planned.leaf_name], planned.leaf_number, cutover)
        for planned in leaves
        if planned.leaf_name in present
    }


def basis_of(connection: Connection, job: Job, base_plan_id: int | None) -> PlanBasis:
    """Everything that a plan made now would depend on."""
    return PlanBasis(
        base_plan_id=base_plan_id,
        code_version=VERSION,
        matcher_version=MATCHER_VERSION,
        policy_name=job.policy.name,
        policy_version=job.policy.version,
        policy_digest=job.policy.digest,
        words=policy_words(job.policy),
        cutover=job.policy.cutover,
        settings=job.config.result_settings(),
        database_identity=database_identity(connection),
    )


def resolver(job: Job, database: Database) -> Resolve | None:
    """Looks short URLs up in the job's resolution map, in transactions of its own; None where the job has no map."""
    resolution = job.config.resolution
    if resolution is None:
        return None
    return lambda urls: database.transact(lambda connection: look_up(connection, resolution, urls), read_only=True)


def resolver_within(job: Job, connection: Connection) -> Resolve | None:
    """The same within a transaction that is open already."""
    resolution = job.config.resolution
    return None if resolution is None else lambda urls: look_up(connection, resolution, urls)
