"""The names of the checks: a closed set, which the config acknowledges by and `runbooks/check.md` explains."""

from enum import Enum
from typing import Final


class CheckName(Enum):
    """One condition that `cleanup check` looks at."""

    # The job's own places
    PRIMARY = "primary"
    LEDGER = "ledger"
    LEDGER_PRIVILEGES = "ledger-privileges"
    TABLE = "table"
    KEY = "key"
    READ_PRIVILEGES = "read-privileges"
    WRITE_PRIVILEGES = "write-privileges"
    ROW_SECURITY = "row-security"
    WRITE_STATEMENT = "write-statement"
    # What happens beside a changed row
    TRIGGERS = "triggers"
    TRIGGER_SUPPRESSION = "trigger-suppression"
    RULES = "rules"
    GENERATED_COLUMNS = "generated-columns"
    CHECK_CONSTRAINTS = "check-constraints"
    UNIQUE_INDEXES = "unique-indexes"
    FOREIGN_KEYS = "foreign-keys"
    INDEXES = "indexes"
    # The tables' health
    INVALID_INDEXES = "invalid-indexes"
    FILLFACTOR = "fillfactor"
    AUTOVACUUM = "autovacuum"
    PARTITIONS = "partitions"
    TABLE_LOCKS = "table-locks"
    LONG_TRANSACTIONS = "long-transactions"
    COLLATIONS = "collations"
    # Who receives the changes
    PUBLICATION_LEDGER = "publication-ledger"
    PUBLICATIONS = "publications"
    REPLICA_IDENTITY = "replica-identity"
    REPLICATION_SLOTS = "replication-slots"
    STANDBYS = "standbys"
    SUBSCRIPTIONS = "subscriptions"
    # The server
    SERVER_SETTINGS = "server-settings"
    DURABILITY = "durability"
    CHECKPOINTS = "checkpoints"
    TIMEOUTS = "timeouts"
    CONNECTIONS = "connections"
    ARCHIVING = "archiving"
    BASE_BACKUP = "base-backup"
    # Logs that would record the posts' texts
    LOG_PARAMETERS = "log-parameters"
    ERROR_LOG_PARAMETERS = "error-log-parameters"
    AUTO_EXPLAIN = "auto-explain"
    AUDIT_LOG = "audit-log"
    # Links elsewhere
    MATERIALIZED_VIEWS = "materialized-views"
    TRIGGER_COPIES = "trigger-copies"
    HISTORY_TABLES = "history-tables"
    UNCONFIGURED_COLUMNS = "unconfigured-columns"
    # Space
    SPACE_FORECAST = "space-forecast"
    DISK_SPACE = "disk-space"
    # The config's own list
    ACKNOWLEDGEMENTS = "acknowledgements"

    @property
    def can_be_acknowledged(self) -> bool:
        """Whether somebody may take the risk: what blocks under this name then only warns."""
        return self in _A_PERSON_MAY_DECIDE


# The others can not be decided away: the job would fail, or do what nobody asked for.
_A_PERSON_MAY_DECIDE: Final = frozenset(
    {
        CheckName.UNIQUE_INDEXES,
        CheckName.FOREIGN_KEYS,
        CheckName.COLLATIONS,
        CheckName.PUBLICATION_LEDGER,
        CheckName.REPLICATION_SLOTS,
        CheckName.SUBSCRIPTIONS,
        CheckName.LOG_PARAMETERS,
        CheckName.ERROR_LOG_PARAMETERS,
        CheckName.AUTO_EXPLAIN,
        CheckName.AUDIT_LOG,
        CheckName.MATERIALIZED_VIEWS,
        CheckName.TRIGGER_COPIES,
        CheckName.DISK_SPACE,
    }
)
