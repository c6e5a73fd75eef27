"""Logs of the server that would record the posts' texts, which the job sends as parameters of its statements."""

from collections.abc import Iterator, Mapping
from typing import Final

from cleanup.check_names import CheckName
from cleanup.db.check_server import settings
from cleanup.engine.checks.result import CheckResult, block, ok
from cleanup.engine.checks.setting import Setting

_NAMES: Final = (
    "log_statement",
    "log_min_duration_statement",
    "log_min_duration_sample",
    "log_statement_sample_rate",
    "log_transaction_sample_rate",
    "log_parameter_max_length",
    "log_parameter_max_length_on_error",
    "log_min_error_statement",
    "auto_explain.log_min_duration",
    "auto_explain.log_parameter_max_length",
    "auto_explain.log_verbose",
    "pgaudit.log",
    "pgaudit.role",
    "pgaudit.log_parameter",
)
_SILENT: Final = frozenset({None, "", "none", "off"})
_RAISED_HIGHER: Final = frozenset({"log", "fatal", "panic"})
_PARAMETERS_SINCE: Final = 160000

Settings = Mapping[str, str | None]


def server_logs(setting: Setting) -> Iterator[CheckResult]:
    """Each logger that is on and would keep parameters."""
    found = settings(setting.connection, _NAMES)
    for name, causes, hint in (
        (
            CheckName.LOG_PARAMETERS,
            statement_log(found),
            "ALTER ROLE ... SET log_parameter_max_length = 0 for this role, and connect again.",
        ),
        (
            CheckName.ERROR_LOG_PARAMETERS,
            error_log(found),
            "ALTER ROLE ... SET log_parameter_max_length_on_error = 0 for this role, and connect again.",
        ),
        (
            CheckName.AUTO_EXPLAIN,
            auto_explain(found, setting.connection.info.server_version),
            "ALTER ROLE ... SET auto_explain.log_min_duration = -1 for this role, and connect again.",
        ),
        (
            CheckName.AUDIT_LOG,
            audit(found),
            "ALTER ROLE ... SET pgaudit.log_parameter = off for this role, and connect again.",
        ),
    ):
        if causes:
            yield block(name, "", f"would record posts' texts: {', '.join(causes)}", hint)
        else:
            yield ok(name, "", "records no text of a post")


def statement_log(found: Settings) -> list[str]:
    """Settings that together write statements with their parameters into the server's log; none where they do not."""
    if found["log_parameter_max_length"] == "0":
        return []
    causes = [f"log_statement = {found['log_statement']}"] if found["log_statement"] in ("mod", "all") else []
    if _number(found, "log_min_duration_statement") >= 0:
        causes.append(f"log_min_duration_statement = {found['log_min_duration_statement']}")
    if _number(found, "log_min_duration_sample") >= 0 and _number(found, "log_statement_sample_rate") > 0:
        causes.append(f"log_min_duration_sample = {found['log_min_duration_sample']}")
    if _number(found, "log_transaction_sample_rate") > 0:
        causes.append(f"log_transaction_sample_rate = {found['log_transaction_sample_rate']}")
    return [*causes, f"log_parameter_max_length = {found['log_parameter_max_length']}"] if causes else []


def error_log(found: Settings) -> list[str]:
    """The same for statements that fail."""
    length = found["log_parameter_max_length_on_error"]
    if length == "0" or found["log_min_error_statement"] in _RAISED_HIGHER:
        return []
    return [f"log_parameter_max_length_on_error = {length}"]


def auto_explain(found: Settings, server_version: int) -> list[str]:
    """The same for auto_explain, whose verbose plans hold parameters too."""
    duration = found["auto_explain.log_min_duration"]
    if duration is None or int(duration) < 0:
        return []
    causes = ["auto_explain.log_verbose = on"] if found["auto_explain.log_verbose"] == "on" else []
    length = found["auto_explain.log_parameter_max_length"]
    if server_version >= _PARAMETERS_SINCE and length != "0":
        causes.append(f"auto_explain.log_parameter_max_length = {length}")
    return [f"auto_explain.log_min_duration = {duration}", *causes] if causes else []


def audit(found: Settings) -> list[str]:
    """The same for pgaudit."""
    if found["pgaudit.log_parameter"] in _SILENT:
        return []
    classes = {word.strip().lower() for word in (found["pgaudit.log"] or "").split(",")}
    writes = bool(classes & {"all", "write"}) and "-write" not in classes
    if not writes and found["pgaudit.role"] in _SILENT:
        return []
    which = f"pgaudit.log = {found['pgaudit.log']}" if writes else f"pgaudit.role = {found['pgaudit.role']}"
    return [which, f"pgaudit.log_parameter = {found['pgaudit.log_parameter']}"]


def _number(found: Settings, name: str) -> float:
    return float(found[name] or 0)
