"""cleanup check as a verb: what it prints, what it changes, what is taken as a risk, and what apply makes of it."""

import json
from collections import Counter
from pathlib import Path

import pytest

from cleanup.check_names import CheckName
from tests.integration.checking import READS_ALL, SECRET, Site, new_site
from tests.integration.jobs import Job

# Well only where somebody says so in the config, or where the server is no test's.
NEVER_OK_HERE = {"durability", "base-backup", "disk-space", "acknowledgements"}
PUBLISHED = "CREATE PUBLICATION everything FOR ALL TABLES"


@pytest.fixture
def site(database_dsn: str, tmp_path: Path) -> Site:
    """Posts with a ledger beside them."""
    return new_site(Job(database_dsn, tmp_path, ""))


def risks(site: Site) -> list[tuple[object, ...]]:
    return site.job.execute(
        "SELECT plan_id, run_id, detail FROM cleanup.event WHERE name = 'check.acknowledged' ORDER BY event_id"
    )


def test_a_quiet_database_blocks_nothing_and_every_check_says_so(site: Site) -> None:
    results = site.results()
    assert Counter(one.level for one in results)["block"] == 0
    assert {one.name for one in results if one.level == "ok"} == {name.value for name in CheckName} - NEVER_OK_HERE
    assert {one.name for one in results if one.level == "warn"} == NEVER_OK_HERE - {"acknowledgements"}


def test_the_text_shows_what_blocks_first_and_the_error_names_it(site: Site) -> None:
    site.job.execute(PUBLISHED)
    answer = site.job.call("check")
    lines = answer.out.splitlines()
    assert answer.status == 3
    assert lines[0].startswith("check: 1 block, 4 warn, ")
    assert lines[1].startswith("block publication-ledger everything: is FOR ALL TABLES")
    assert lines[2].startswith("      HINT: name the published tables instead")
    assert answer.codes == ["CLN-313"]
    assert "publication-ledger everything: is FOR ALL TABLES" in answer.err
    assert SECRET not in answer.out + answer.err


def test_the_json_counts_what_it_lists(site: Site) -> None:
    answer = site.job.done("check", "--format", "json")
    report = json.loads(answer.out)
    levels = Counter(one["level"] for one in report["results"])
    assert {level: report[level] for level in ("block", "warn", "ok")} == {"block": 0, **levels}


def test_nothing_is_changed_and_reading_is_enough(site: Site) -> None:
    before = site.job.checksums()
    with site.role(*READS_ALL) as role:
        blocking = {one.name for one in site.results(role) if one.level == "block"}
        assert blocking == {"ledger-privileges", "write-privileges", "write-statement"}
        assert site.job.checksums() == before


def test_before_init_the_ledger_is_what_is_missing(database_dsn: str, tmp_path: Path) -> None:
    job = Job(database_dsn, tmp_path, "")
    job.execute("CREATE TABLE post (id bigint PRIMARY KEY, created_at timestamptz, body text)")
    blocking = [one for one in Site(job).results() if one.level == "block"]
    assert [one.name for one in blocking] == ["ledger"]


def test_a_risk_is_taken_by_name_and_recorded_with_plan_and_run(site: Site) -> None:
    site.job.execute(PUBLISHED)
    site.configure(check='acknowledge = ["publication-ledger:everything"]')
    found = site.one("publication-ledger", "warn")
    assert found.acknowledged
    assert "publication-ledger everything: is FOR ALL TABLES" in site.job.done("check").out
    assert "(acknowledged)" in site.job.done("check").out
    assert risks(site) == []
    site.job.apply(site.job.plan())
    of_plan, of_run = risks(site)
    assert of_plan == (1, None, {"accepted": "publication-ledger:everything"})
    assert of_run[:2] == (1, 1)
    detail = of_run[2]
    assert isinstance(detail, dict)
    assert (detail["check"], detail["subject"], detail["value"]) == ("publication-ledger", "everything", found.value)


def test_a_risk_that_nobody_took_keeps_apply_from_creating_a_run(site: Site) -> None:
    plan = site.job.plan()
    site.job.approve(plan)
    site.job.execute(PUBLISHED)
    before = site.job.checksums()
    answer = site.job.call("apply", 1)
    assert (answer.status, answer.codes) == (3, ["CLN-313"])
    assert "publication-ledger everything" in answer.err
    assert site.job.checksums() == before
    # The approval is not used up: the same command goes on once somebody has decided.
    site.configure(check='acknowledge = ["publication-ledger"]')
    site.job.done("apply", 1)
    assert site.job.number("SELECT count(*) FROM post WHERE body LIKE '%http%'") == 0


def test_an_acknowledgement_of_one_subject_is_none_of_another(site: Site) -> None:
    site.configure(check='acknowledge = ["publication-ledger:other"]')
    site.job.execute(PUBLISHED)
    assert not site.one("publication-ledger", "block").acknowledged
    unused = site.one("acknowledgements", "warn")
    assert unused.subject == "publication-ledger:other"
    assert "take it out" in unused.hint


@pytest.mark.parametrize("name", ["nonsense", "triggers", "publication-ledger:", ""])
def test_what_is_no_risk_to_take_is_an_error_of_the_config(site: Site, name: str) -> None:
    site.configure(check=f'acknowledge = ["{name}"]')
    answer = site.job.call("check")
    assert (answer.status, answer.codes) == (2, ["CLN-201"])
    assert f"check.acknowledge: names '{name}'; what can be acknowledged is unique-indexes, " in answer.err


def test_a_run_that_is_there_already_goes_on_whatever_the_checks_say(site: Site) -> None:
    plan = site.job.plan()
    site.job.apply(plan)
    site.job.tamper("UPDATE cleanup.run SET state = 'interrupted', finished_at = NULL, log_head = NULL")
    site.job.execute(PUBLISHED)
    site.job.done("apply", plan.number("plan_id"))


def test_the_forecast_goes_by_the_plan_and_before_that_by_a_sample(site: Site) -> None:
    sampled = site.one("space-forecast", "ok").value
    assert sampled.endswith("for 20 changes by a sample of 2,000 rows of each table")
    site.configure(check="sample_rows = 0")
    unknown = site.one("space-forecast", "warn")
    assert unknown.value.startswith("unknown: there is no plan yet")
    assert "make a plan" in unknown.hint
    site.job.plan()
    assert site.one("space-forecast", "ok").value.endswith("for 20 changes by plan 1")


DISKS = {
    'free_disk_query = "SELECT 1"': ("block", "1 B free, up to "),
    'free_disk_query = "SELECT 10000000000"': ("ok", "9.3 GB free, up to "),
    'free_disk_query = "SELECT 1, 2"': ("warn", "unknown: free_disk_query did not answer with one number"),
    'free_disk_query = "SELECT thesecretword"': ("warn", "unknown: free_disk_query failed (SQLSTATE 42703)"),
    'free_disk_command = ["echo", "1"]': ("block", "1 B free, up to "),
    'free_disk_command = ["sh", "-c", "echo 10000000000"]': ("ok", "9.3 GB free, up to "),
    'free_disk_command = ["echo", "thesecretword"]': ("warn", "unknown: free_disk_command did not print one number"),
    'free_disk_command = ["sh", "-c", "exit 7"]': ("warn", "unknown: free_disk_command ended with 7"),
    'free_disk_command = ["/no/such/command"]': ("warn", "unknown: free_disk_command can not be run: No such file"),
    "": ("warn", "unknown: SQL alone can not tell how much disk is free"),
}


@pytest.mark.parametrize("check", DISKS)
def test_the_disk_is_what_the_operators_query_or_command_says(site: Site, check: str) -> None:
    site.configure(check=check)
    level, value = DISKS[check]
    found = site.one("disk-space", level)
    assert found.value.startswith(value)
    assert ('acknowledge = ["disk-space"]' in found.hint) == (level == "block")


def test_the_operators_query_can_write_nothing(site: Site) -> None:
    site.configure(check='free_disk_query = "DELETE FROM public.post RETURNING 1"')
    assert site.one("disk-space", "warn").value.endswith("(SQLSTATE 25006)")
    assert site.job.number("SELECT count(*) FROM post") == 20
