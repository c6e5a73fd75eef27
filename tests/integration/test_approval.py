"""Who signs: by digest, as another role where the config asks for one, and with a way back until it is applied."""

import io
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.integration.jobs import LINK, POLICY, Answer, Job

REFUSED, USAGE = 1, 2
CONFIG = f"""
policy = "{POLICY}"
[[table]]
name = "public.post"
created_at = "created_at"
columns = {{ body = "text" }}
[approval]
four_eyes = true
[pace]
lanes = 1
"""


@pytest.fixture
def job(database_dsn: str, tmp_path: Path) -> Job:
    """A post to change, and a ledger."""
    made = Job(database_dsn, tmp_path, CONFIG)
    made.execute("CREATE TABLE post (id int PRIMARY KEY, created_at timestamptz NOT NULL, body text)")
    made.execute("INSERT INTO post VALUES (1, '2020-01-01', %s)", LINK)
    made.done("init")
    return made


@pytest.fixture
def another(job: Job) -> Iterator[str]:
    """The connection string of another role."""
    role = f"second_{uuid4().hex[:12]}"
    job.execute(f"CREATE ROLE {role} LOGIN SUPERUSER")
    yield psycopg.conninfo.make_conninfo(job.dsn, user=role)
    job.execute(f"DROP OWNED BY {role}")
    job.execute(f"DROP ROLE {role}")


def sign(job: Job, plan: Answer, *words: str, dsn: str | None = None) -> Answer:
    """Approve a plan as some role."""
    digest = str(plan.report["digest"])
    said = ("--digest", digest, "--by", "Ana", "--ticket", "CHG-1", *words)
    return job.call("approve", plan.number("plan_id"), *said, dsn=dsn)


def single(job: Job) -> None:
    """Let one person do it all."""
    job.config_file.write_text(CONFIG.replace("true", "false"), encoding="utf-8")


def test_four_eyes_are_those_of_another_role_whatever_name_is_typed(job: Job, another: str) -> None:
    plan = job.plan()
    before = job.checksums()
    assert sign(job, plan).codes == ["CLN-122"]
    digest = str(plan.report["digest"])
    again = job.call(
        "approve", plan.number("plan_id"), "--digest", digest, "--by", "Somebody Else", "--ticket", "CHG-1"
    )
    assert (again.status, again.codes) == (REFUSED, ["CLN-122"])
    assert job.checksums() == before
    assert sign(job, plan, dsn=another).status == 0
    job.done("apply", plan.number("plan_id"))


def test_a_signature_of_the_planner_is_no_second_one_when_the_config_asks_later(job: Job, another: str) -> None:
    single(job)
    plan = job.plan()
    assert sign(job, plan).status == 0
    job.config_file.write_text(CONFIG, encoding="utf-8")
    assert job.done("apply", plan.number("plan_id"), status=REFUSED).codes == ["CLN-122"]
    assert job.number("SELECT count(*) FROM cleanup.run") == 0
    assert sign(job, plan, dsn=another).status == 0
    job.done("apply", plan.number("plan_id"))


def test_whoever_decided_a_review_does_not_approve_it(job: Job, another: str) -> None:
    job.execute("INSERT INTO post VALUES (2, '2020-01-01', 'http://xhslink.com/AbCdE')")
    plan = job.plan()
    (job.folder / "decisions.jsonl").write_text('{"host": "xhslink.com", "decision": "redact"}', encoding="utf-8")
    words = ("review", plan.number("plan_id"), "--import", "decisions.jsonl", "--by", "Mei", "--format", "json")
    decided = job.call(*words, dsn=another)
    assert decided.status == 0, decided.err
    # Neither who planned it nor who decided it is somebody else.
    assert sign(job, decided).codes == ["CLN-122"]
    assert sign(job, decided, dsn=another).codes == ["CLN-122"]


def test_an_approval_is_taken_back_until_it_is_applied(job: Job) -> None:
    single(job)
    plan = job.plan()
    number = plan.number("plan_id")
    revoke = ("approve", number, "--revoke", "--by", "Bo", "--reason", "wrong cutover")
    assert job.done(*revoke, status=REFUSED).codes == ["CLN-103"]
    # Were only the newer one revoked, the older one would count again.
    assert sign(job, plan).status == sign(job, plan).status == 0
    assert "revoked by Bo" in job.done(*revoke).out
    assert job.done("apply", number, status=REFUSED).codes == ["CLN-103"]
    assert job.execute(
        "SELECT DISTINCT revoker, revoked_for, revoked_by = session_user, revoked_at IS NULL FROM cleanup.approval"
    ) == [("Bo", "wrong cutover", True, False)]
    assert job.number("SELECT count(*) FROM cleanup.event WHERE name = 'plan.approval_revoked'") == 1
    assert sign(job, plan).status == 0
    job.done("apply", number)
    assert job.done(*revoke, status=REFUSED).codes == ["CLN-108"]


def test_signatures_are_answered_as_json_too(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    single(job)
    plan = job.plan()
    number, digest = plan.number("plan_id"), plan.report["digest"]
    signed = sign(job, plan, "--format", "json").report
    ((approved_at, expires_at, role),) = job.execute(
        "SELECT approved_at, expires_at, session_user::text FROM cleanup.approval"
    )
    assert isinstance(approved_at, datetime)
    assert isinstance(expires_at, datetime)
    assert datetime.fromisoformat(str(signed.pop("approved_at"))) == approved_at
    assert datetime.fromisoformat(str(signed.pop("expires_at"))) == expires_at
    expected = {
        "approval_id": 1,
        "plan_id": number,
        "source_run_id": None,
        "digest": digest,
        "approver": "Ana",
        "ticket": "CHG-1",
        "approved_by": role,
        "revoked_at": None,
        "revoker": None,
        "revoked_for": None,
    }
    assert signed == expected
    revoked = job.done("approve", number, "--revoke", "--by", "Bo", "--reason", "wait", "--format", "json").report
    assert (revoked["revoker"], revoked["revoked_for"], revoked["approver"]) == ("Bo", "wait", "Ana")
    assert revoked["revoked_at"] is not None
    # The digest is asked for beside the answer.
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{digest}\n"))
    typed = job.done("approve", number, "--by", "Ana", "--ticket", "CHG-1", "--format", "json")
    assert typed.report["digest"] == digest
    assert "digest of the report that you have read" in typed.err
    assert sign(job, plan, "--format", "jsonl").status == USAGE


def test_the_approval_of_a_rollback_is_taken_back_too(job: Job) -> None:
    config = CONFIG.replace("four_eyes = true", "rollbacks = true")
    job.config_file.write_text(config, encoding="utf-8")
    run = job.apply(job.plan()).number("run_id")
    digest = str(job.done("rollback", run, "--dry-run", "--format", "json").report["digest"])
    words = ("--digest", digest, "--by", "Ana", "--ticket", "CHG-2", "--format", "json")
    assert job.done("approve", "--rollback", run, *words).number("source_run_id") == run
    job.done("approve", "--rollback", run, "--revoke", "--by", "Bo", "--reason", "not yet")
    assert job.done("rollback", run, status=REFUSED).codes == ["CLN-103"]
    # The plan's own approval was used by its run, and is no part of that.
    assert job.number("SELECT count(*) FROM cleanup.approval WHERE revoked_at IS NULL") == 1


def test_who_signs_a_rollback_does_not_start_it_where_four_eyes_are_asked_for(job: Job, another: str) -> None:
    job.config_file.write_text(
        CONFIG.replace("four_eyes = true", "four_eyes = true\nrollbacks = true"), encoding="utf-8"
    )
    plan = job.plan()
    assert sign(job, plan, dsn=another).status == 0
    run = job.done("apply", plan.number("plan_id"), "--format", "json").number("run_id")
    digest = str(job.done("rollback", run, "--dry-run", "--format", "json").report["digest"])
    job.done("approve", "--rollback", run, "--digest", digest, "--by", "Ana", "--ticket", "CHG-2")
    assert job.done("rollback", run, status=REFUSED).codes == ["CLN-122"]
    assert job.number("SELECT count(*) FROM cleanup.run WHERE kind = 'rollback'") == 0
    assert job.call("rollback", run, dsn=another).status == 0


def test_what_does_not_go_together_is_said(job: Job) -> None:
    plan = job.plan().number("plan_id")
    for words in (
        ("--revoke", "--by", "Bo"),
        ("--revoke", "--by", "Bo", "--reason", " "),
        ("--revoke", "--by", "Bo", "--reason", "x", "--ticket", "CHG-1"),
        ("--by", "Bo", "--digest", "00"),
        ("--by", "Bo", "--digest", "00", "--ticket", "CHG-1", "--reason", "x"),
    ):
        assert job.done("approve", plan, *words, status=USAGE).codes == ["CLN-204"]
