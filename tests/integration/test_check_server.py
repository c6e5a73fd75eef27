"""Checks of the server: settings, logs, connections, archive and backups; each is tripped and seen."""

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import psycopg
import pytest
from psycopg import conninfo

from cleanup.demo.server import Server
from tests.integration.checking import READS_ALL, Site, new_site
from tests.integration.jobs import Job, new_database, new_folder
from tests.plugins.servers import WHEEL_MAJOR, binaries_of

# A server that a DBA would be proud of, in so far as the checks can tell.
TUNED: Final = {
    "fsync": "on",
    "max_wal_size": "4GB",
    "archive_mode": "on",
    "archive_command": "true",
    "max_prepared_transactions": "2",
}
CARELESS: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "max_wal_size": "64MB",
    "checkpoint_timeout": "30s",
    "autovacuum": "off",
    "archive_mode": "on",
    "archive_command": "false",
}


@pytest.fixture(scope="module")
def site(server: Server) -> Iterator[Site]:
    """Posts and a ledger; each test undoes what it does."""
    with new_database(server) as dsn, new_folder() as folder:
        yield new_site(Job(dsn, folder, ""))


@pytest.fixture(autouse=True)
def plain_config(site: Site) -> None:
    site.configure()


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the database, and what the check of that name then says."""

    name: str
    level: str
    settings: str
    value: str
    hint: str


SETTINGS = {
    "slow statements": Setting(
        "log-parameters",
        "block",
        "log_min_duration_statement = 0",
        "log_min_duration_statement = 0, log_parameter_max_length = -1",
        "log_parameter_max_length = 0",
    ),
    "all statements": Setting("log-parameters", "block", "log_statement = 'all'", "log_statement = all", "ALTER ROLE"),
    "sampled transactions": Setting(
        "log-parameters", "block", "log_transaction_sample_rate = 0.5", "log_transaction_sample_rate = 0.5", "ALTER"
    ),
    "failing statements": Setting(
        "error-log-parameters",
        "block",
        "log_parameter_max_length_on_error = -1",
        "log_parameter_max_length_on_error = -1",
        "log_parameter_max_length_on_error = 0",
    ),
    "verbose plans": Setting(
        "auto-explain",
        "block",
        "session_preload_libraries = 'auto_explain'; auto_explain.log_min_duration = 0; auto_explain.log_verbose = on",
        "auto_explain.log_min_duration = 0, auto_explain.log_verbose = on",
        "auto_explain.log_min_duration = -1",
    ),
    "audit": Setting(
        "audit-log",
        "block",
        "pgaudit.log = 'ddl, write'; pgaudit.log_parameter = on",
        "pgaudit.log = ddl, write, pgaudit.log_parameter = on",
        "pgaudit.log_parameter = off",
    ),
    "idle sessions": Setting(
        "timeouts", "warn", "idle_session_timeout = '5min'", "idle_session_timeout = 300000 ms", "ALTER ROLE"
    ),
}
HARMLESS = {
    "log-parameters": "log_statement = 'all'; log_parameter_max_length = 0",
    "error-log-parameters": "log_parameter_max_length_on_error = -1; log_min_error_statement = 'panic'",
    "auto-explain": "session_preload_libraries = 'auto_explain'; auto_explain.log_min_duration = -1",
    "audit-log": "pgaudit.log = 'ddl, read'; pgaudit.log_parameter = on",
    "timeouts": "statement_timeout = '1s'; lock_timeout = '1s'; idle_in_transaction_session_timeout = '1s'",
}


def set_all(site: Site, settings: str) -> str:
    """The statements that give the database these settings."""
    name = conninfo.conninfo_to_dict(site.job.dsn)["dbname"]
    return ";".join(f"ALTER DATABASE {name} SET {setting}" for setting in settings.split("; "))


def reset_all(site: Site) -> str:
    return f"ALTER DATABASE {conninfo.conninfo_to_dict(site.job.dsn)['dbname']} RESET ALL"


@pytest.mark.parametrize("case", SETTINGS)
def test_a_setting_is_seen_with_its_value_and_a_way_out(site: Site, case: str) -> None:
    setting = SETTINGS[case]
    with site.meanwhile(set_all(site, setting.settings), reset_all(site)):
        found = site.one(setting.name, setting.level)
    assert setting.value in found.value
    assert setting.hint in found.hint


@pytest.mark.parametrize("name", HARMLESS)
def test_settings_that_do_no_harm_trip_nothing(site: Site, name: str) -> None:
    with site.meanwhile(set_all(site, HARMLESS[name]), reset_all(site)):
        site.one(name, "ok")


@pytest.mark.parametrize("major", [WHEEL_MAJOR], ids=["pg18"], indirect=True)
def test_settings_of_newer_servers_are_known(site: Site) -> None:
    preloaded = "session_preload_libraries = 'auto_explain'; auto_explain.log_min_duration = 0"
    with site.meanwhile(set_all(site, preloaded), reset_all(site)):
        assert "auto_explain.log_parameter_max_length = -1" in site.one("auto-explain", "block").value
    with site.meanwhile(set_all(site, f"{preloaded}; auto_explain.log_parameter_max_length = 0"), reset_all(site)):
        site.one("auto-explain", "ok")
    with site.meanwhile(set_all(site, "transaction_timeout = '1min'"), reset_all(site)):
        assert site.one("timeouts", "warn").value == "transaction_timeout = 60000 ms"


def test_a_log_that_would_record_texts_does(own_server: Server) -> None:
    """What the check says is so: with the server's defaults, a slow-statement log holds the posts' new texts."""
    with new_database(own_server) as dsn, new_folder() as folder:
        site = new_site(Job(dsn, folder, ""))
        site.job.execute("UPDATE post SET body = 'remains ' || body")
        site.configure(check='acknowledge = ["log-parameters"]')
        site.job.execute(set_all(site, "log_min_duration_statement = 0"))
        assert site.one("log-parameters", "warn").acknowledged
        site.job.apply(site.job.plan())
        assert "remains" in own_server.log_file.read_text(encoding="utf-8", errors="replace")


def test_too_few_connections_for_the_lanes_block(site: Site) -> None:
    site.configure(lanes=64)
    found = site.one("connections", "block")
    assert "130 needed for 64 lane(s)" in found.value
    assert "lower lanes" in found.hint
    site.configure()
    with site.role(*READS_ALL) as role:
        site.job.execute(f"ALTER ROLE {role} CONNECTION LIMIT 8")
        found = site.one("connections", "warn", role)
        assert found.value == "7 free, 4 needed for 1 lane(s)"
        site.job.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
        site.one("connections", "ok", role)


def test_a_folder_that_is_closed_to_the_role_leaves_the_backup_unknown(site: Site) -> None:
    with site.role(*READS_ALL) as role:
        found = site.one("base-backup", "warn", role)
    assert found.value == "unknown: the WAL folder is closed to this role (SQLSTATE 42501)"
    assert "pg_monitor" in found.hint


def test_what_the_server_will_not_say_is_unknown_and_spoils_nothing_else(site: Site) -> None:
    with (
        site.role(*READS_ALL) as role,
        site.meanwhile("REVOKE SELECT ON pg_stat_archiver FROM PUBLIC", "GRANT SELECT ON pg_stat_archiver TO PUBLIC"),
    ):
        results = site.results(role)
    unknown = {one.name for one in results if one.value == "unknown: the server would not say (SQLSTATE 42501)"}
    assert unknown == {"archiving"}
    assert [one.level for one in results if one.name == "server-settings"] == ["ok"]


@pytest.fixture
def start(major: int) -> Iterator[Callable[[dict[str, str]], tuple[Server, Site]]]:
    """Starts a server with such settings, and a site on it."""
    servers: list[Server] = []
    with new_folder() as folder:

        def start_server(settings: dict[str, str]) -> tuple[Server, Site]:
            servers.append(Server.start(binaries_of(major), settings=settings))
            return servers[-1], new_site(Job(servers[-1].dsn(), folder, ""))

        yield start_server
        for server in servers:
            server.close()


def test_a_careless_server_is_told_so(start: Callable[[dict[str, str]], tuple[Server, Site]]) -> None:
    _, site = start(CARELESS)
    site.job.execute("SELECT pg_switch_wal()")
    give_up = time.monotonic() + 60
    while not site.job.number("SELECT failed_count::int FROM pg_stat_archiver"):
        assert time.monotonic() < give_up, "the archiver has not tried"
    found = {one.name: one for one in site.results() if one.level == "warn"}
    assert found["durability"].value == "off: fsync, synchronous_commit"
    assert found["checkpoints"].value == "every 30 s or 64 MB of WAL"
    assert "raise max_wal_size" in found["checkpoints"].hint
    assert found["autovacuum"].value == "autovacuum or track_counts is off on this server"
    assert found["archiving"].value.startswith("failed ")
    assert "mend archive_command" in found["archiving"].hint


def test_a_tuned_server_is_well_and_its_backup_is_known(
    start: Callable[[dict[str, str]], tuple[Server, Site]],
) -> None:
    server, site = start(TUNED)
    with new_folder() as folder:
        backup = [server.program("pg_basebackup"), "--pgdata", str(folder / "copy"), "--dbname", server.dsn()]
        subprocess.run([*backup, "--checkpoint", "fast", "--wal-method", "none"], check=True, capture_output=True)
    site.job.execute("BEGIN; DELETE FROM post WHERE id = 1; PREPARE TRANSACTION 'later'")
    site.configure(check='long_transaction_seconds = 0\nfree_disk_query = "SELECT 1000000000"')
    warned = {one.name: one for one in site.results() if one.level != "ok"}
    assert list(warned) == ["long-transactions"]
    assert warned["long-transactions"].value.startswith("prepared transaction ")
    site.job.execute("ROLLBACK PREPARED 'later'")
    assert site.one("archiving", "ok").value.startswith("on; ")
    assert site.one("base-backup", "ok").value.startswith("the last one ended 20")
    site.one("durability", "ok")


def test_a_standby_can_not_be_written_to(own_server: Server) -> None:
    with new_folder() as folder:
        site = new_site(Job(own_server.dsn(), folder, ""))
        (own_server.folder / "data" / "standby.signal").touch(mode=0o644)
        own_server.restart()
        found = site.one("primary", "block")
    assert found.value == "this server is a standby"
    assert "target_session_attrs=read-write" in found.hint
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        site.job.execute("DELETE FROM post")
