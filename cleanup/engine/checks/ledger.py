"""Whether this server can be written to, and whether the ledger in it is ours and open to this role."""

from collections.abc import Iterator

from cleanup.check_names import CheckName
from cleanup.db.check_ledger import is_standby, tables_not_writable
from cleanup.db.ledger import require_ledger
from cleanup.engine.checks.result import CheckResult, block, named, ok
from cleanup.engine.checks.setting import Setting
from cleanup.errors import PreflightFailed


def primary(setting: Setting) -> Iterator[CheckResult]:
    """A standby can be scanned for a plan, by --scan-dsn, and nothing more."""
    if is_standby(setting.connection):
        yield block(
            CheckName.PRIMARY,
            "",
            "this server is a standby",
            "connect to the primary; target_session_attrs=read-write in the connection string finds it.",
        )
    else:
        yield ok(CheckName.PRIMARY, "", "this server can be written to")


def ledger(setting: Setting) -> Iterator[CheckResult]:
    """The ledger of this version, and the role's right to add to it."""
    try:
        require_ledger(setting.connection)
    except PreflightFailed as error:
        yield block(CheckName.LEDGER, "", f"{error.code} {error.message}", error.hint)
        return
    yield ok(CheckName.LEDGER, "", "installed, and of this version")
    lacking = tables_not_writable(setting.connection)
    if lacking:
        yield block(
            CheckName.LEDGER_PRIVILEGES,
            "",
            f"the role may not add to {named([f'cleanup.{name}' for name in lacking])}",
            "grant it, or run `apply` as another role; see sql/roles.sql.",
        )
    else:
        yield ok(CheckName.LEDGER_PRIVILEGES, "", "this role may add to the ledger")
