"""Judgements of the checks that a test server can hardly be brought into the state for."""

import pytest

from cleanup.db.check_health import LeafHealth, OldTransaction, OldXmin
from cleanup.db.check_replication import Standby
from cleanup.engine.checks.health import judge_horizon, vacuum_worries
from cleanup.engine.checks.replication import judge_streams
from cleanup.engine.checks.result import Level, named, size
from cleanup.engine.checks.server_logs import audit, auto_explain, error_log, statement_log

QUIET = {
    "log_statement": "ddl",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_statement_sample_rate": "1",
    "log_transaction_sample_rate": "0",
    "log_parameter_max_length": "-1",
    "log_parameter_max_length_on_error": "0",
    "log_min_error_statement": "error",
    "auto_explain.log_min_duration": None,
    "auto_explain.log_parameter_max_length": None,
    "auto_explain.log_verbose": None,
    "pgaudit.log": None,
    "pgaudit.role": None,
    "pgaudit.log_parameter": None,
}


def leaf(**changes: int) -> LeafHealth:
    values = {"rows": 10_000, "pages": 100, "live_rows": 10_000, "dead_rows": 0, "xid_age": 10, "freeze": 1_000}
    values |= changes
    return LeafHealth(
        "public.post",
        values["rows"],
        values["pages"],
        100,
        True,
        values["live_rows"],
        values["dead_rows"],
        values["xid_age"],
        values["freeze"],
    )


def test_a_table_near_its_freezing_is_named() -> None:
    assert list(vacuum_worries([leaf(), leaf(xid_age=900)])) == []
    (worry,) = vacuum_worries([leaf(xid_age=901)])
    assert worry == "public.post is 901 transactions old and will be frozen at 1,000"


def test_a_few_dead_rows_are_no_worry() -> None:
    assert list(vacuum_worries([leaf(dead_rows=2_000), leaf(dead_rows=900, live_rows=0)])) == []
    assert len(list(vacuum_worries([leaf(dead_rows=2_001)]))) == 1


def test_whatever_holds_back_the_horizon_is_named_with_its_age() -> None:
    result = judge_horizon(300, [OldTransaction("session 7", 4_000)], [OldXmin("slot tokyo", 2_000_000)], sees_all=True)
    assert result.level is Level.WARN
    assert result.value == "session 7 for 4,000 s, slot tokyo by 2,000,000 transactions; the limit is 300 s"
    assert judge_horizon(300, [], [], sees_all=True).level is Level.OK
    assert judge_horizon(300, [], [], sees_all=False).value.startswith("unknown: ")


def test_a_standby_that_is_behind_is_named_with_its_lag() -> None:
    standby = Standby("tokyo", "streaming", "async", 200 << 20)
    (result,) = judge_streams([standby, Standby("osaka", "streaming", "async", 0)], "")
    assert (result.level, result.value) == (Level.WARN, "behind: tokyo by 200 MB")


def test_each_way_into_the_servers_log_counts_and_no_other() -> None:
    assert statement_log(QUIET) == []
    assert statement_log({**QUIET, "log_min_duration_sample": "10"})[0] == "log_min_duration_sample = 10"
    assert statement_log({**QUIET, "log_min_duration_sample": "10", "log_statement_sample_rate": "0"}) == []
    assert statement_log({**QUIET, "log_statement": "mod", "log_parameter_max_length": "0"}) == []
    assert error_log(QUIET) == []
    assert error_log({**QUIET, "log_parameter_max_length_on_error": "64"}) != []


@pytest.mark.parametrize(
    ("settings", "records"),
    [
        ({"pgaudit.log": "write", "pgaudit.log_parameter": "on"}, True),
        ({"pgaudit.log": "ALL, -ddl", "pgaudit.log_parameter": "on"}, True),
        ({"pgaudit.log": "all, -write", "pgaudit.log_parameter": "on"}, False),
        ({"pgaudit.log": "read", "pgaudit.log_parameter": "on", "pgaudit.role": "auditor"}, True),
        ({"pgaudit.log": "read", "pgaudit.log_parameter": "on", "pgaudit.role": ""}, False),
        ({"pgaudit.log": "write", "pgaudit.log_parameter": "off"}, False),
    ],
)
def test_an_audit_log_counts_where_it_keeps_parameters_of_writes(settings: dict[str, str], records: bool) -> None:
    assert bool(audit({**QUIET, **settings})) is records


def test_plans_hold_parameters_from_version_16_on_or_where_they_are_verbose() -> None:
    on = {
        **QUIET,
        "auto_explain.log_min_duration": "0",
        "auto_explain.log_parameter_max_length": "-1",
        "auto_explain.log_verbose": "off",
    }
    assert auto_explain(on, 150000) == []
    assert auto_explain(on, 160000) != []
    assert auto_explain({**on, "auto_explain.log_parameter_max_length": "0"}, 160000) == []
    assert auto_explain({**on, "auto_explain.log_verbose": "on"}, 150000) != []
    assert auto_explain(QUIET, 180000) == []


def test_sizes_and_lists_are_short() -> None:
    assert [size(number) for number in (0, 1023, 1024, 20 * 1024, 5 << 30, 3 << 50)] == [
        "0 B", "1023 B", "1.0 kB", "20 kB", "5.0 GB", "3072 TB",
    ]  # fmt: skip
    assert named([str(number) for number in range(7)]) == "0, 1, 2, 3, 4 and 2 more"
    assert named(["a", "b"]) == "a, b"
