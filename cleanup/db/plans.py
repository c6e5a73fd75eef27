"""Plans in the ledger: created once, gone on with after an interruption, finished with a digest."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from psycopg.rows import args_row
from psycopg.types.json import Jsonb

from cleanup.db.connection import Connection
from cleanup.db.queries import statement
from cleanup.db.tables import DatabaseIdentity, Fingerprint, Table
from cleanup.errors import PlanUnknown
from cleanup.vocabulary import ColumnFormat


class PlanState(Enum):
    """How a plan stands."""

    SCANNING = "scanning"
    FINISHED = "finished"
    ABANDONED = "abandoned"


# Here and for every other state: each way from one to another, and why it is taken. The ledger refuses the others.
PLAN_TRANSITIONS: Final[Mapping[tuple[PlanState, PlanState], str]] = {
    (PlanState.SCANNING, PlanState.FINISHED): "every chunk is done and the digest is made",
    (PlanState.SCANNING, PlanState.ABANDONED): "a newer plan with another policy or config took its place",
}


@dataclass(frozen=True, slots=True)
class PlanBasis:
    """Everything a plan's result depends on, but for the rows themselves."""

    base_plan_id: int | None
    code_version: str
    matcher_version: int
    policy_name: str
    policy_version: str
    policy_digest: bytes
    words: tuple[str, ...]
    cutover: datetime
    settings: dict[str, object]
    database_identity: DatabaseIdentity


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan as the ledger has it."""

    plan_id: int
    base_plan_id: int | None
    state: PlanState
    code_version: str
    matcher_version: int
    policy_name: str
    policy_version: str
    policy_digest: bytes
    words: tuple[str, ...]
    cutover: datetime
    settings: dict[str, object]
    database_identity: DatabaseIdentity
    first_xmin: str
    first_lsn: str
    since_xmin: str | None
    planned_by: str
    started_at: datetime
    finished_at: datetime | None
    findings_digest: bytes | None
    digest: bytes | None

    def __post_init__(self) -> None:
        # The driver hands over plain values; from here on they have their types.
        object.__setattr__(self, "state", PlanState(self.state))
        object.__setattr__(self, "words", tuple(self.words))
        stored: object = self.database_identity
        if isinstance(stored, Mapping):
            object.__setattr__(self, "database_identity", DatabaseIdentity(**stored))


@dataclass(frozen=True, slots=True)
class PlanLeaf:
    """One leaf that a plan scans."""

    leaf_number: int
    table_name: str
    leaf_name: str
    fingerprint: Fingerprint
    row_estimate: int


@dataclass(frozen=True, slots=True)
class PlanColumn:
    """One column that a plan reads; `column_number` is its place among its table's columns."""

    table_name: str
    column_number: int
    column_name: str
    format: ColumnFormat

    def __post_init__(self) -> None:
        object.__setattr__(self, "format", ColumnFormat(self.format))


def _parameters(basis: PlanBasis) -> dict[str, object]:
    return {
        "base_plan_id": basis.base_plan_id,
        "code_version": basis.code_version,
        "matcher_version": basis.matcher_version,
        "policy_name": basis.policy_name,
        "policy_version": basis.policy_version,
        "policy_digest": basis.policy_digest,
        "words": list(basis.words),
        "cutover": basis.cutover,
        "settings": Jsonb(basis.settings),
        "database_identity": Jsonb(asdict(basis.database_identity)),
    }


def open_one_at_a_time(connection: Connection) -> None:
    """Keep every other job from looking for a plan or creating one until the open transaction ends."""
    connection.execute(statement("plans.open_one_at_a_time"))


def find_unfinished_plan(connection: Connection, basis: PlanBasis) -> int | None:
    """The interrupted plan with exactly this basis, if there is one."""
    row = connection.execute(statement("plans.unfinished"), _parameters(basis)).fetchone()
    return int(row[0]) if row else None


def create_plan(connection: Connection, basis: PlanBasis, leaves: list[tuple[Table, PlanLeaf]]) -> int:
    """Insert a plan with its leaves and columns in the open transaction; return its number."""
    row = connection.execute(statement("plans.create"), _parameters(basis)).fetchone()
    assert row is not None
    plan_id = int(row[0])
    connection.execute(statement("plans.abandon_unfinished"), {"except": [plan_id]})
    connection.execute(statement("plans.add_findings"), {"plan_id": plan_id})
    for _, leaf in leaves:
        connection.execute(
            statement("plans.add_leaf"),
            {**asdict(leaf), "plan_id": plan_id, "fingerprint": Jsonb(leaf.fingerprint)},
        )
    for table in {table.name: table for table, _ in leaves}.values():
        for column in table.columns:
            connection.execute(
                statement("plans.add_column"),
                {
                    "plan_id": plan_id,
                    "table_name": table.name,
                    "column_number": column.number,
                    "column_name": column.name,
                    "format": column.format.value,
                },
            )
    return plan_id


def get_plan(connection: Connection, plan_id: int) -> Plan:
    """One plan; raise PlanUnknown where there is none."""
    with connection.cursor(row_factory=args_row(Plan)) as cursor:
        plan = cursor.execute(statement("plans.get"), {"plan_id": plan_id}).fetchone()
    if plan is None:
        raise PlanUnknown(f"there is no plan {plan_id}", hint="`cleanup status` lists the plans and runs.")
    return plan


def plan_leaves(connection: Connection, plan_id: int) -> list[PlanLeaf]:
    """The plan's leaves in scan order."""
    with connection.cursor(row_factory=args_row(PlanLeaf)) as cursor:
        return cursor.execute(statement("plans.leaves"), {"plan_id": plan_id}).fetchall()


def plan_columns(connection: Connection, plan_id: int) -> list[PlanColumn]:
    """The plan's columns in the config's order."""
    with connection.cursor(row_factory=args_row(PlanColumn)) as cursor:
        return cursor.execute(statement("plans.columns"), {"plan_id": plan_id}).fetchall()


def words_of_runs(connection: Connection, run_ids: Collection[int]) -> dict[int, tuple[str, ...]]:
    """The words of the plans behind some runs."""
    rows = connection.execute(statement("plans.words_of_runs"), {"run_ids": list(run_ids)}).fetchall()
    return {int(run_id): tuple(words) for run_id, words in rows}


def finish_plan(connection: Connection, plan_id: int, findings_digest: bytes, digest: bytes) -> None:
    """Mark a plan finished; does nothing where another job already did."""
    connection.execute(
        statement("plans.finish"), {"plan_id": plan_id, "findings_digest": findings_digest, "digest": digest}
    )


def all_plans(connection: Connection) -> list[Plan]:
    """Every plan, newest first."""
    with connection.cursor(row_factory=args_row(Plan)) as cursor:
        return cursor.execute(statement("plans.all")).fetchall()
