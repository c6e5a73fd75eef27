"""The job config: read from TOML, validated once at the door, frozen from then on."""

from dataclasses import dataclass, field, replace
from datetime import time
from enum import Enum
from pathlib import Path
from zoneinfo import ZoneInfo

from cleanup.check_names import CheckName
from cleanup.vocabulary import ColumnFormat, Signal


class Undated(Enum):
    """What becomes of posts whose created_at is NULL."""

    LEAVE = "leave"
    INCLUDE = "include"


class AfterCutover(Enum):
    """What becomes of posts created from the cutover on."""

    LEAVE = "leave"
    INCLUDE = "include"


class UrlResult(Enum):
    """What a redacted value of a `url` column becomes."""

    PLACEHOLDER = "placeholder"
    EMPTY = "empty"
    NULL = "null"


class TriggerPolicy(Enum):
    """What is to become of a table's own triggers when cleanup changes a row."""

    FIRE = "fire"
    SUPPRESS = "suppress"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class LinkRows:
    """Rows whose value is a link of that platform and kind by what the row says: `when` is a predicate."""

    when: str
    platform: str
    kind: str


@dataclass(frozen=True, slots=True)
class ColumnConfig:
    """One text column and how it is to be read.

    `json_paths` limits a JSON column to some leaves, and `leaf_formats` says which of them are not plain text;
    `on_redact` says what a `url` column's link becomes. With `link_rows`
    a value is a link where its row says so, and nothing elsewhere.
    """

    name: str
    format: ColumnFormat
    json_paths: tuple[str, ...] = ()
    leaf_formats: tuple[tuple[str, ColumnFormat], ...] = ()
    on_redact: UrlResult = UrlResult.PLACEHOLDER
    link_rows: LinkRows | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """The table that says where short URLs lead, and its columns."""

    table: str
    short: str
    target: str


@dataclass(frozen=True, slots=True)
class ExemptBy:
    """A post is exempt where its `column` is found in another table's `key`."""

    table: str
    key: str
    column: str


@dataclass(frozen=True, slots=True)
class TableConfig:
    """One table of posts. `key` is empty where the primary key is to be taken from the catalog."""

    name: str
    columns: tuple[ColumnConfig, ...]
    created_at: str
    key: tuple[str, ...] = ()
    created_at_time_zone: str | None = None
    author: str | None = None
    exempt: str | None = None
    where: str | None = None
    exempt_by: ExemptBy | None = None
    undated: Undated = Undated.LEAVE
    after_cutover: AfterCutover = AfterCutover.LEAVE
    triggers: TriggerPolicy = TriggerPolicy.REFUSE


@dataclass(frozen=True, slots=True)
class Pace:
    """How gently the job treats the database; a WAL limit of 0 is none.

    `rest_percent` is how long a lane rests after each batch, in per cent of what the batch took; `niceness`, from 0 to
    19, how far lanes come after others on their host. The standard is what authors hardly feel on a small server;
    runbooks/speed.md says how that was measured.
    """

    lanes: int = 1
    chunk_rows: int = 50_000
    lock_target_ms: int = 250
    batch_rows_max: int = 50
    rest_percent: int = 800
    niceness: int = 10
    lock_timeout_ms: int = 500
    lease_seconds: int = 60
    locked_passes: int = 3
    wal_mib_per_second: int = 0


@dataclass(frozen=True, slots=True)
class Throttle:
    """The limit of each signal beyond which a run waits, and what goes with them.

    `ignore` are signals that nobody looks at, `accept_unreadable` those that may be unreadable; else one that
    can not be read counts as beyond its limit. `alert_after` has the signals whose `alert_after_seconds` differ.
    """

    replica_lag_seconds: int = 10
    slot_wal_mib: int = 16_384
    archive_queue_files: int = 64
    archive_failing_seconds: int = 60
    long_transaction_seconds: int = 1_800
    lock_queue_sessions: int = 5
    vacuums: int = 0
    disk_free_mib: int = 10_240
    resume_at: float = 0.8
    alert_after_seconds: int = 1_800
    alert_after: tuple[tuple[Signal, int], ...] = ((Signal.VACUUM, 14_400),)
    ignore: frozenset[Signal] = frozenset()
    accept_unreadable: frozenset[Signal] = frozenset()
    replicas: tuple[str, ...] = ()
    replicas_left_out: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Window:
    """When a run may write, by the server's clock: spans of a day in a time zone, which may reach over midnight."""

    only_between: tuple[tuple[time, time], ...]
    time_zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Approval:
    """How long an approval is good for, how much the posts may have moved since, and whether rollbacks need one."""

    expires_after_hours: int = 168
    max_drift: float = 0.05
    drift_sample: int = 1_000
    rollbacks: bool = False
    # The session's role that approves a plan must not be one that made it.
    four_eyes: bool = False


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a run's change log is kept after its end, since the removed links are in it."""

    days: int = 90


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A check that somebody takes the risk of: everything it finds, or one subject of it."""

    name: CheckName
    subject: str | None = None

    def __str__(self) -> str:
        """As the config spells it."""
        return self.name.value if self.subject is None else f"{self.name.value}:{self.subject}"


@dataclass(frozen=True, slots=True)
class Check:
    """What `cleanup check` may take for granted, and how far it may look.

    `free_disk_query` or `free_disk_command` say how many bytes are free where the data and the WAL lie.
    """

    acknowledge: tuple[Acknowledgement, ...] = ()
    long_transaction_seconds: int = 300
    sample_rows: int = 2_000
    sample_seconds: int = 30
    free_disk_query: str | None = None
    free_disk_command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Metrics:
    """Where a job tells its numbers to a monitoring system: at an HTTP port, in a file, at both or nowhere."""

    host: str = "127.0.0.1"
    port: int | None = None
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class JobConfig:
    """Everything the job is told; `policy` is the file that says which links."""

    file: Path
    policy: Path
    tables: tuple[TableConfig, ...]
    pace: Pace
    approval: Approval
    retention: Retention
    resolution: Resolution | None = None
    check: Check = Check()
    throttle: Throttle = field(default_factory=Throttle)
    window: Window | None = None
    metrics: Metrics = Metrics()

    def with_lanes(self, lanes: int) -> "JobConfig":
        """The same job with another number of lanes."""
        return replace(self, pace=replace(self.pace, lanes=lanes))

    def result_settings(self) -> dict[str, object]:
        """The part that alters results, in a canonical form: what a plan's digest covers."""
        ordered = sorted(self.tables, key=lambda table: table.name)
        settings: dict[str, object] = {table.name: _table_settings(table) for table in ordered}
        if self.resolution is not None:
            settings["resolution"] = [self.resolution.table, self.resolution.short, self.resolution.target]
        return settings


def _table_settings(table: TableConfig) -> dict[str, object]:
    exempt_by = table.exempt_by
    return {
        "columns": [
            [
                column.name,
                column.format.value,
                column.on_redact.value,
                sorted(column.json_paths),
                [[path, leaf_format.value] for path, leaf_format in column.leaf_formats],
                [column.link_rows.when, column.link_rows.platform, column.link_rows.kind] if column.link_rows else [],
            ]
            for column in table.columns
        ],
        "created_at": table.created_at,
        "created_at_time_zone": table.created_at_time_zone,
        "author": table.author,
        "exempt": table.exempt,
        "where": table.where,
        "exempt_by": [exempt_by.table, exempt_by.key, exempt_by.column] if exempt_by else None,
        "undated": table.undated.value,
        "after_cutover": table.after_cutover.value,
        "triggers": table.triggers.value,
        "key": list(table.key),
    }
