"""The posts' database and tables as the catalog has them: what every statement on them is made of."""

from dataclasses import dataclass

from psycopg import sql

from cleanup.config import AfterCutover, ExemptBy, LinkRows, TriggerPolicy, Undated, UrlResult
from cleanup.vocabulary import ColumnFormat

Fingerprint = dict[str, object]


@dataclass(frozen=True, slots=True)
class DatabaseIdentity:
    """Which database on which server: the system identifier, and the database's oid and name."""

    system_identifier: str
    database_oid: int
    database_name: str
    server_version: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """A table that holds rows: the configured one, or one of its partitions."""

    oid: int
    schema: str
    name: str
    row_estimate: int
    kind: str = "r"

    @property
    def full_name(self) -> str:
        """schema.table, as reports show it."""
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name for a statement."""
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """One column of the key, in the order of its index; `type_name` is format_type's own spelling."""

    name: str
    type_name: str


@dataclass(frozen=True, slots=True)
class TextColumn:
    """One configured column; `number` is its place in the config, `max_length` of a varchar(n) in characters."""

    number: int
    name: str
    format: ColumnFormat
    json_paths: tuple[str, ...]
    type_name: str
    max_length: int | None
    on_redact: UrlResult = UrlResult.PLACEHOLDER
    leaf_formats: tuple[tuple[str, ColumnFormat], ...] = ()
    link_rows: LinkRows | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A configured table as the catalog has it: what every statement on its leaves is made of."""

    name: str
    key: tuple[KeyColumn, ...]
    columns: tuple[TextColumn, ...]
    created_at: str
    created_at_time_zone: str | None
    author: str | None
    exempt: str | None
    where: str | None
    exempt_by: ExemptBy | None
    undated: Undated
    leaves: tuple[Leaf, ...]
    triggers: TriggerPolicy = TriggerPolicy.REFUSE
    after_cutover: AfterCutover = AfterCutover.LEAVE

    def key_names(self) -> list[str]:
        """The key's column names in index order."""
        return [column.name for column in self.key]
