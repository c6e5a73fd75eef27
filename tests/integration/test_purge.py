"""Purging: refused before its time and while somebody reads, whoever asks; then texts are gone and the proof stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import conninfo

from cleanup.demo.server import Server
from tests.integration.jobs import LINK, POLICY, Answer, Job, new_database

CONFIG: Final = """
policy = "POLICY"
[[table]]
name = "public.post"
created_at = "created_at"
author = "author"
columns = { body = "text" }
[pace]
lanes = 1
batch_rows_max = 4
[retention]
days = DAYS
""".replace("POLICY", POLICY)
ROWS: Final = 10
SCHEMA: Final = f"""
CREATE TABLE post (id int PRIMARY KEY, created_at timestamptz, author text, body text);
INSERT INTO post SELECT n, '2021-01-01', 'a' || n, 'see {LINK}' || n || ' there' FROM generate_series(1, {ROWS}) AS n;
"""
FORCE: Final = ("--force", "--reason", "a court says so")


@pytest.fixture
def make_job(server: Server, tmp_path: Path) -> Iterator[Job]:
    """Posts and a ledger."""
    with new_database(server) as dsn:
        job = Job(dsn, tmp_path, CONFIG.replace("DAYS", "90"))
        job.execute(SCHEMA)
        job.done("init")
        yield job


@pytest.fixture
def job(make_job: Job) -> Job:
    """Run 1, to be kept for 90 days."""
    make_job.apply(make_job.plan())
    return make_job


def texts_in_the_ledger(job: Job) -> int:
    """How many rows of the ledger, whatever the table, hold a removed link."""
    tables = job.execute("SELECT relname FROM pg_class WHERE relnamespace = 'cleanup'::regnamespace AND relkind = 'r'")
    assert len(tables) > 15
    return sum(
        job.number(f"SELECT count(*) FROM cleanup.{name} AS t WHERE t::text LIKE '%%item.htm%%'") for (name,) in tables
    )


def require_refusal(
    job: Job, code: str, *said: str, words: tuple[str | int, ...] = ("purge", 1), status: int = 1
) -> None:
    """The command is refused in one message that shows the way out, and nothing changes."""
    before = job.checksums()
    answer = job.done(*words, status=status)
    assert answer.codes == [code], answer.err
    assert all(part in answer.err for part in said), answer.err
    assert "HINT: " in answer.err
    assert job.checksums() == before


def test_before_its_date_a_log_is_purged_with_a_reason_alone(job: Job) -> None:
    [(until,)] = job.execute("SELECT to_char(finished_at + interval '90 days', 'YYYY-MM-DD HH24:MI') FROM cleanup.run")
    assert f"log kept until {str(until)[:10]}" in job.done("status", 1).out
    require_refusal(job, "CLN-116", str(until), "90 days", "--force")
    require_refusal(job, "CLN-204", words=("purge", 1, "--force"), status=2)
    require_refusal(job, "CLN-204", words=("purge", 1, "--force", "--reason", "  "), status=2)
    require_refusal(job, "CLN-204", words=("purge", 1, "--reason", "so"), status=2)
    assert "before its date" in job.done("purge", 1, *FORCE).out
    assert job.execute("SELECT forced, reason, purged_at < retain_until FROM cleanup.purge") == [
        (True, "a court says so", True)
    ]


def test_from_its_date_on_a_log_is_purged(make_job: Job) -> None:
    make_job.config_file.write_text(CONFIG.replace("DAYS", "0"), encoding="utf-8")
    make_job.apply(make_job.plan())
    make_job.done("purge", 1)
    assert make_job.execute("SELECT forced, reason, purged_at >= retain_until FROM cleanup.purge") == [
        (False, None, True)
    ]


def test_texts_go_and_counts_heads_and_a_proof_stay(job: Job) -> None:
    before = job.done("status", 1, "--format", "json").report
    head = job.execute("SELECT log_head FROM cleanup.run")
    findings = job.number("SELECT count(*) FROM cleanup.finding")
    assert texts_in_the_ledger(job) == ROWS
    said = job.done("purge", 1, *FORCE).out
    assert "no archive was ever made" in said
    assert texts_in_the_ledger(job) == 0
    assert job.execute("SELECT to_regclass('cleanup.change_log_1'), to_regclass('cleanup.finding_1')") == [(None, None)]

    after = job.done("status", 1, "--format", "json").report
    purge = after.pop("purge")
    assert before.pop("purge") is None
    assert after == before
    assert after["log_head"] is not None
    assert isinstance(purge, dict)
    assert (purge["log_rows"], purge["findings"], purge["purged_by"]) == (ROWS, findings, "postgres")
    assert job.execute("SELECT log_head FROM cleanup.purge") == head == job.execute("SELECT log_head FROM cleanup.run")
    event = (
        "SELECT detail ->> 'reason', detail -> 'log_rows' FROM cleanup.event WHERE name = 'run.purged' AND run_id = 1"
    )
    assert job.execute(event) == [("a court says so", ROWS)]


def test_every_verb_says_that_the_log_was_purged(job: Job) -> None:
    job.done("purge", 1, *FORCE)
    for show in (("status", 1), ("report", "--run", 1)):
        said = job.done(*show).out
        assert "LOG PURGED at" in said
        assert "a court says so" in said
        assert f"{ROWS} rows" in said
    for words in (
        ("log", 1),
        ("log", 1, "--changed-keys"),
        ("log", 1, "--export", "archive"),
        ("verify", 1),
        ("rollback", 1),
        ("rollback", 1, "--dry-run"),
    ):
        require_refusal(job, "CLN-114", "was purged at", "--archive", words=words)
    assert not (job.folder / "archive").exists()
    job.done("status")
    job.done("report", 1)
    job.done("verify")
    job.done("plan", "--since", 1)


def test_a_second_purge_finds_it_done_and_says_who_did_it(job: Job) -> None:
    job.done("purge", 1, *FORCE)
    before = job.checksums()
    assert "was purged at" in job.done("purge", 1).out
    assert job.checksums() == before


def test_archives_are_listed_until_somebody_deletes_them(job: Job) -> None:
    job.done("log", 1, "--export", "one")
    job.done("log", 1, "--export", "two", "--format", "csv")
    # An export that was killed before it could record itself has left word of where it was.
    job.execute("INSERT INTO cleanup.event (run_id, name, detail) VALUES (1, 'log.export_begun',"
                " '{\"place\": \"elsewhere:/tmp/three\", \"format\": \"jsonl\"}')")  # fmt: skip
    places = [str(job.folder / "one"), str(job.folder / "two"), "elsewhere:/tmp/three"]
    said = job.done("purge", 1, *FORCE).out
    assert all(place in said for place in places)
    assert all(place in job.done("status", 1).out for place in places)


def test_only_a_closed_run_is_purged(job: Job) -> None:
    require_refusal(job, "CLN-110", "no run 7", words=("purge", 7))
    job.tamper("UPDATE cleanup.run SET state = 'interrupted', finished_at = NULL, log_head = NULL")
    require_refusal(job, "CLN-112", "run 1 is interrupted", words=("purge", 1, *FORCE))


def test_no_log_is_purged_while_a_rollback_reads_the_logs(job: Job) -> None:
    rollback = job.roll_back(Answer(0, '{"run_id": 1}', ""))
    job.tamper(
        "UPDATE cleanup.run SET state = 'interrupted', finished_at = NULL, log_head = NULL WHERE kind = 'rollback'"
    )
    require_refusal(job, "CLN-115", f"rollback run {rollback.number('run_id')} is open", words=("purge", 1, *FORCE))


def test_a_rollback_that_was_not_purged_keeps_what_it_needs(job: Job) -> None:
    """What a rollback left is named by the findings of its plan: they go with the plan's last log."""
    job.execute("UPDATE post SET body = 'the author wrote it anew' WHERE id = 3")
    rollback = job.roll_back(Answer(0, '{"run_id": 1}', ""), status=1)
    left = rollback.report["left"]
    assert isinstance(left, list)
    assert [one["key"] for one in left] == [["3"]]

    job.done("purge", 1, *FORCE)
    assert job.execute("SELECT log_rows, findings FROM cleanup.purge") == [(ROWS, 0)]
    assert job.done("status", 2, "--format", "json").report["left"] == left
    verified = job.verify(rollback, status=1)
    assert verified.report["left"] == left
    assert verified.report["log_problems"] == []

    # The rollback of the rollback needs its log alone.
    again = job.done("rollback", 2, "--format", "json")
    assert job.number("SELECT count(*) FROM post WHERE body LIKE '%%taobao%%'") == 0
    job.done("purge", 2, *FORCE)
    assert job.number("SELECT count(*) FROM cleanup.finding") == ROWS
    job.done("purge", again.number("run_id"), *FORCE)
    assert job.execute("SELECT run_id, findings FROM cleanup.purge ORDER BY purge_id") == [(1, 0), (2, 0), (3, ROWS)]
    assert texts_in_the_ledger(job) == 0
    # Its name is gone with everything else; that it was left is not.
    assert job.done("status", 2, "--format", "json").report["left"] == [{**left[0], "leaf_name": "(purged)",
        "column_name": "(purged)", "key": []}]  # fmt: skip


def test_a_partial_rollback_leaves_the_rest_to_the_archive(job: Job) -> None:
    original = job.execute("SELECT id, body FROM post ORDER BY id")
    job.done("rollback", 1, "--author", "a3")
    job.done("log", 1, "--export", "archive", "--format", "parquet")
    job.done("purge", 1, *FORCE)
    job.done("rollback", 1, "--archive", "archive", "--dry-run", status=2)
    job.done("log", 1, "--restore", "archive")
    assert "log restored from an archive" in job.done("status", 1).out
    job.done("rollback", 1, "--dry-run")
    job.done("rollback", 1)
    restored = job.execute("SELECT id, body FROM post ORDER BY id")
    assert restored != original
    assert [body for _, body in restored] == [f"see {LINK}{number} there" for number in range(1, ROWS + 1)]


def test_a_restored_log_proves_itself_but_no_more_than_that(job: Job) -> None:
    """The findings do not come back: what the plan refused, or the run left, is not known any more."""
    job.done("log", 1, "--export", "archive")
    job.done("purge", 1, *FORCE)
    job.done("log", 1, "--restore", "archive")
    require_refusal(job, "CLN-114", "the findings of plan 1 were purged", words=("verify", 1))
    job.done("log", 1, "--export", "again")
    assert (job.folder / "archive" / "log.jsonl").read_bytes() == (job.folder / "again" / "log.jsonl").read_bytes()
    require_refusal(job, "CLN-116")


# ------------------------------------------------------------------------------------- privileges and locks


@pytest.fixture
def role(job: Job) -> Iterator[str]:
    """A role that may read the ledger and no more."""
    name = f"purger_{conninfo.conninfo_to_dict(job.dsn)['dbname']}"
    job.execute(
        f"CREATE ROLE {name} LOGIN; GRANT USAGE ON SCHEMA cleanup TO {name};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA cleanup TO {name}"
    )
    yield name
    job.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def test_who_may_call_the_function_needs_no_other_right_and_gets_no_other(job: Job, role: str) -> None:
    theirs = Job(conninfo.make_conninfo(job.dsn, user=role), job.folder, CONFIG.replace("DAYS", "90"))
    before = job.checksums()
    assert theirs.done("purge", 1, *FORCE, status=3).codes == ["CLN-312"]
    job.execute(f"GRANT EXECUTE ON FUNCTION cleanup.purge_run(bigint, text) TO {role}")
    # It checks everything itself, whoever calls it and however.
    with pytest.raises(psycopg.Error, match="retained until"):
        theirs.execute("SELECT cleanup.purge_run(1)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        theirs.execute("DELETE FROM cleanup.change_log")
    assert theirs.done("purge", 1, status=1).codes == ["CLN-116"]
    assert job.checksums() == before
    theirs.done("purge", 1, *FORCE)
    assert job.execute("SELECT purged_by FROM cleanup.purge") == [(role,)]
    assert job.execute("SELECT by_role FROM cleanup.event WHERE name = 'run.purged'") == [(role,)]
    assert texts_in_the_ledger(job) == 0


def test_the_findings_of_a_plan_that_nobody_applied_are_deleted(make_job: Job) -> None:
    job = make_job
    plan = job.plan()
    because = ("--reason", "planned by mistake")
    assert job.done("purge", "--plan", 1, status=2).codes == ["CLN-204"]
    assert job.done("purge", 1, "--plan", 1, *because, status=2).codes == ["CLN-204"]
    assert job.done("purge", "--plan", 7, *because, status=1).codes == ["CLN-101"]
    job.approve(plan)
    assert job.done("purge", "--plan", 1, *because, status=1).codes == ["CLN-116"]
    job.done("approve", 1, "--revoke", "--by", "Ana", "--reason", "a doubt")
    assert f"plan 1: {ROWS} findings deleted" in job.done("purge", "--plan", 1, *because).out
    assert job.execute("SELECT to_regclass('cleanup.finding_1')") == [(None,)]
    event = job.execute("SELECT plan_id, detail FROM cleanup.event WHERE name = 'plan.purged'")
    assert event == [(1, {"findings": ROWS, "reason": "planned by mistake"})]
    assert job.done("purge", "--plan", 1, *because, status=1).codes == ["CLN-114"]
    # What is left of it is shown, and neither signed nor applied.
    digest = str(plan.report["digest"])
    assert digest in job.done("report", 1).out
    signing = ("approve", 1, "--digest", digest, "--by", "Ana", "--ticket", "CHG-1")
    assert job.done(*signing, status=1).codes == ["CLN-114"]
    assert job.done("apply", 1, status=1).codes == ["CLN-103"]
    assert job.number("SELECT count(*) FROM cleanup.run") == 0
    applied = job.plan()
    job.apply(applied)
    refused = job.done("purge", "--plan", 2, *because, status=1)
    assert (refused.codes, "cleanup purge 1" in refused.err) == (["CLN-108"], True)
    same = "code_version, matcher_version, policy_name, policy_version, policy_digest, words, cutover, settings"
    same += ", database_identity, first_xmin, first_lsn"
    scanning = f"INSERT INTO cleanup.plan ({same}) SELECT {same}"
    job.execute(f"{scanning} FROM cleanup.plan WHERE plan_id = 1")
    assert job.done("purge", "--plan", 3, *because, status=1).codes == ["CLN-102"]
