"""Connections and their transactions: local settings only, and no secret in what is said of them."""

import pytest

from cleanup.db.connection import Limits, describe_dsn, open_connection, transaction
from cleanup.demo.server import Server
from cleanup.errors import UsageInvalid

SHOWN = ("TimeZone", "DateStyle", "search_path", "row_security", "lock_timeout", "standard_conforming_strings")


def test_a_transaction_has_its_settings_and_leaves_none(server: Server) -> None:
    hostile = "-c search_path=public -c DateStyle=German -c TimeZone=Asia/Shanghai -c standard_conforming_strings=on"
    with open_connection(f"{server.dsn()} options='{hostile}' client_encoding=GBK", "settings") as connection:
        before = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in SHOWN]
        with transaction(connection, Limits(lock_timeout_ms=77), read_only=True):
            inside = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in SHOWN]
            access = connection.execute("SHOW transaction_read_only").fetchone()
        after = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in SHOWN]
        encoding = connection.execute("SHOW client_encoding").fetchone()
    assert inside == [("UTC",), ("ISO, YMD",), ("pg_catalog, pg_temp",), ("off",), ("77ms",), ("on",)]
    assert access == ("on",)
    assert after == before
    assert before[0] == ("Asia/Shanghai",)
    assert encoding == ("UTF8",)


def test_isolation_and_access_do_not_depend_on_the_servers_defaults(server: Server) -> None:
    defaults = "-c default_transaction_isolation=serializable -c default_transaction_read_only=on"
    with open_connection(f"{server.dsn()} options='{defaults}'", "defaults") as connection:
        with transaction(connection):
            assert connection.execute("SHOW transaction_isolation").fetchone() == ("read committed",)
            assert connection.execute("SHOW transaction_read_only").fetchone() == ("off",)
        with transaction(connection, read_only=True, one_snapshot=True):
            assert connection.execute("SHOW transaction_isolation").fetchone() == ("repeatable read",)
            assert connection.execute("SHOW transaction_read_only").fetchone() == ("on",)


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://bob:geheim@db.example:6432/posts", "host=db.example port=6432 dbname=posts user=bob"),
        ("service=posts password=geheim", "service=posts"),
        ("", "the server of the PG* variables"),
        ("password=geheim", "the server of the PG* variables"),
        ("geheim", "the given connection string"),
    ],
)
def test_a_connection_string_is_shown_without_its_secrets(dsn: str, shown: str) -> None:
    assert describe_dsn(dsn) == shown


def test_a_string_that_can_not_be_read_is_not_quoted() -> None:
    with pytest.raises(UsageInvalid) as error:
        open_connection("host=db password=not quoted", "x")
    assert "quoted" not in error.value.message
