"""apply --rehearse: all writes of a plan on a real server, and no trace of them."""

from pathlib import Path

import pytest

from cleanup.resources import config_directory
from tests.integration.jobs import LINK, POLICY, Answer, Job, Report

REFUSED = 1
ROWS = 300
CONFIG = """
policy = "policy.toml"
[[table]]
name = "public.post"
created_at = "created_at"
triggers = "fire"
columns = { body = "text", title = "text" }
[pace]
lanes = 2
chunk_rows = 70
batch_rows_max = 40
"""
SCHEMA = """
CREATE TABLE post (id int PRIMARY KEY, created_at timestamptz NOT NULL, body text, title text);
CREATE TABLE audit (id bigint GENERATED ALWAYS AS IDENTITY, post_id int);
CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.audit (post_id) VALUES (NEW.id);
    PERFORM pg_notify('posts', NEW.id::text);
    RETURN NEW;
END $$;
CREATE TRIGGER note_it AFTER UPDATE ON post FOR EACH ROW EXECUTE FUNCTION note_it();
CREATE FUNCTION too_late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation';
END $$;
CREATE CONSTRAINT TRIGGER too_late AFTER UPDATE ON post DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.id = 120) EXECUTE FUNCTION too_late();
ALTER TABLE post ADD CONSTRAINT keeps_its_link CHECK (id <> 7 OR body LIKE '%taobao%' AND title LIKE '%taobao%');
"""


@pytest.fixture
def job(database_dsn: str, tmp_path: Path) -> Job:
    """Posts with links, of which the database refuses two; a cutover that is far away."""
    made = Job(database_dsn, tmp_path, CONFIG)
    made.execute(SCHEMA)
    made.execute("INSERT INTO post SELECT n, '2020-01-01', %s, %s FROM generate_series(1, %s) AS n", LINK, LINK, ROWS)
    lines = (config_directory() / POLICY).read_text(encoding="utf-8").splitlines()
    text = "\n".join("cutover = 2100-01-01T00:00:00+08:00" if line.startswith("cutover =") else line for line in lines)
    (tmp_path / "policy.toml").write_text(text, encoding="utf-8")
    made.done("init")
    return made


def rehearse(job: Job, plan: Answer, *words: str | int, status: int = 0) -> Answer:
    """The rehearsal's report."""
    return job.done("apply", plan.number("plan_id"), "--rehearse", "--format", "json", *words, status=status)


def but_events(checksums: dict[str, object]) -> dict[str, object]:
    """All of a database but what is told of it."""
    return {name: checksum for name, checksum in checksums.items() if name != "cleanup.event"}


def test_it_writes_everything_and_leaves_no_trace(job: Job) -> None:
    plan = job.plan()
    before = job.checksums()
    rehearsal = rehearse(job, plan, status=REFUSED)
    assert but_events(job.checksums()) == but_events(before)
    assert job.execute("SELECT name, plan_id, run_id FROM cleanup.event WHERE name LIKE 'rehearsal%'") == [
        ("rehearsal.finished", plan.number("plan_id"), None)
    ]
    # Nobody has approved it, the cutover is far away, and still every write was tried.
    assert rehearsal.codes == [], rehearsal.err
    assert rehearsal.number("planned") == rehearsal.number("findings") == 2 * ROWS
    assert rehearsal.report["outcomes"] == {"changed": 2 * ROWS - 4, "refused_by_database": 4}
    refused = rehearsal.report["refused"]
    assert isinstance(refused, list)
    found = {(one["leaf_name"], one["column_name"], *one["key"], one["detail"]) for one in refused}
    assert found == {
        ("public.post", "body", "7", "SQLSTATE 23514"),
        ("public.post", "title", "7", "SQLSTATE 23514"),
        ("public.post", "body", "120", "SQLSTATE 23514"),
        ("public.post", "title", "120", "SQLSTATE 23514"),
    }
    assert rehearsal.number("wal_bytes") > 2 * ROWS * len(LINK)
    longest, total = rehearsal.report["longest_lock_ms"], rehearsal.report["lock_ms"]
    assert isinstance(longest, float)
    assert isinstance(total, float)
    assert 0 < longest < total
    text = job.done("apply", plan.number("plan_id"), "--rehearse", status=REFUSED).out
    assert "nothing was changed" in text
    assert "refused: public.post.title 7: SQLSTATE 23514" in text


def test_the_run_itself_comes_to_the_same_and_is_the_first_of_its_ledger(job: Job) -> None:
    policy = job.folder / "policy.toml"
    policy.write_text(policy.read_text(encoding="utf-8").replace("2100-01-01", "2021-08-02"), encoding="utf-8")
    plan = job.plan()
    rehearsal = rehearse(job, plan, status=REFUSED)
    run = job.apply(plan, status=REFUSED)
    # Rolled back batches used no run number and no approval number up.
    assert run.number("run_id") == 1
    assert job.execute("SELECT approval_id FROM cleanup.approval") == [(1,)]
    outcomes = run.report["outcomes"]
    assert isinstance(outcomes, list)
    assert {line["outcome"]: line["findings"] for line in outcomes} == rehearsal.report["outcomes"]
    assert {line["outcome"]: line["spans"] for line in outcomes} == rehearsal.report["links"]
    job.verify(run, status=REFUSED)
    assert job.number("SELECT count(DISTINCT post_id) FROM audit") == ROWS - 2
    # What has run can not be rehearsed any more.
    assert rehearse(job, plan, status=REFUSED).codes == ["CLN-108"]


def test_a_limit_rehearses_the_first_findings_and_authors_edits_are_seen(job: Job) -> None:
    plan = job.plan()
    job.execute("UPDATE post SET body = body || ' edited', title = 'quiet' WHERE id = 2")
    before = job.checksums()
    rehearsal = rehearse(job, plan, "--limit", 10)
    assert but_events(job.checksums()) == but_events(before)
    assert (rehearsal.number("findings"), rehearsal.number("edited")) == (10, 2)
    assert rehearsal.report["outcomes"] == {"already_clean": 1, "changed": 8, "changed_after_edit": 1}


def test_the_reports_forecast_goes_by_what_it_measured(job: Job) -> None:
    plan = job.plan()
    unmeasured = report_of(job)
    assert forecast_of(unmeasured)["seconds"] is None
    first = rehearse(job, plan, "--limit", 10)
    # By so few values, but by this plan's; the event has whole milliseconds.
    rounding = 0.0005 * 2 * ROWS / 10 + 0.05
    expected = seconds_of(first) / 10 * 2 * ROWS
    assert forecast_of(report_of(job))["seconds"] == pytest.approx(expected, abs=rounding)
    whole = rehearse(job, plan, status=REFUSED)
    rehearse(job, plan, "--limit", 5)
    report = report_of(job)
    forecast = forecast_of(report)
    assert forecast["seconds"] == pytest.approx(seconds_of(whole), abs=0.051)
    told = str(forecast["duration_measured"])
    assert told.startswith("from a rehearsal on 20"), told
    assert f"{2 * ROWS} of this plan's {2 * ROWS} values in {seconds_of(whole):.1f} s, in 1 lane" in told
    assert f"the server wrote {whole.number('wal_bytes'):,} bytes" in str(forecast["wal_measured"])
    assert told in job.done("report", plan.number("plan_id")).out
    job.done("report", plan.number("plan_id"), "--html", "plan.html")
    assert "from a rehearsal on" in (job.folder / "plan.html").read_text(encoding="utf-8")
    # What is signed is what it was: the digest, and all that the plan says.
    assert but_forecast(report) == but_forecast(unmeasured)
    # Another plan's values are not measured by it, and there is no run yet.
    assert forecast_of(report_of(job, job.plan()))["seconds"] is None


def report_of(job: Job, plan: Answer | None = None) -> Report:
    """The sign-off report; of the first plan where none is named."""
    return job.done("report", 1 if plan is None else plan.number("plan_id"), "--format", "json").report


def forecast_of(report: Report) -> Report:
    """What a report says of the cost."""
    details = report["details"]
    assert isinstance(details, dict)
    forecast = details["forecast"]
    assert isinstance(forecast, dict)
    return forecast


def but_forecast(report: Report) -> Report:
    """All that it says besides."""
    details = report["details"]
    assert isinstance(details, dict)
    return {**report, "details": {**details, "forecast": None}}


def seconds_of(rehearsal: Answer) -> float:
    """How long it took."""
    seconds = rehearsal.report["seconds"]
    assert isinstance(seconds, float)
    return seconds


def test_what_apply_would_refuse_is_not_rehearsed(job: Job) -> None:
    plan = job.plan()
    job.execute("ALTER TABLE post ADD extra text")
    assert rehearse(job, plan, status=REFUSED).codes == ["CLN-106"]
    job.execute("ALTER TABLE post DROP extra")
    job.config_file.write_text(CONFIG.replace('"fire"', '"refuse"'), encoding="utf-8")
    again = job.done("plan", "--format", "json")
    assert rehearse(job, again, status=3).codes == ["CLN-313"]
    for words in (("--rehearse", "--canary", 3), ("--limit", 3), ("--rehearse", "--wait")):
        assert job.done("apply", 1, *words, status=2).codes == ["CLN-204"]
