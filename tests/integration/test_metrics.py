"""The numbers of a job, as a monitoring system reads them: at the endpoint while it works, in the file for good."""

import json
import re
import threading
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cleanup.report.metrics_model import Metric
from tests.faults.jobs import Process, wait_for
from tests.integration.asking import ask
from tests.integration.conftest import MakeSite
from tests.integration.watched import (
    LANES,
    ONE_OLD_TRANSACTION,
    build_gate,
    closed_gate,
    old_transaction,
    wait_at_gate,
)
from tests.plugins.servers import WHEEL_MAJOR

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]
on_one_version = pytest.mark.parametrize("major", [WHEEL_MAJOR], ids=["pg18"], indirect=True)


def read(text: str) -> Values:
    """Every value by its name and labels; raises where the text is not in Prometheus's format."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def port_of(process: Process) -> int:
    """The port that the job says it tells its numbers at."""
    wait_for("the endpoint", lambda: "metrics.served" in process.said(), process=process)
    found = re.search(r'"host": "127\.0\.0\.1", "port": (\d+)', process.said())
    assert found is not None, process.said()
    return int(found[1])


def scrape(port: int) -> Values:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        return read(answer.read().decode())


def value(values: Values, metric: Metric, suffix: str = "", **labels: str) -> float | None:
    """The one value of a metric that has at least these labels; None where there is none."""
    found = [
        number
        for (name, given), number in values.items()
        if name == metric.value.name + suffix and labels.items() <= dict(given).items()
    ]
    assert len(found) <= 1, (metric, labels, found)
    return found[0] if found else None


def test_the_endpoint_tells_how_a_run_stands_while_it_stands(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    build_gate(site)
    plan = site.approved_plan()
    planned = site.number("SELECT sum(actionable)::bigint FROM cleanup.chunk")
    with closed_gate(site):
        job = site.start("apply", str(plan), "--metrics-port", "0")
        port = port_of(job)
        wait_at_gate(site, job, LANES)
        wait_for("both lanes", lambda: value(scrape(port), Metric.RUN_LANES) == LANES, process=job)
        values = scrape(port)
    assert value(values, Metric.RUN_STATE, state="running", plan=str(plan)) == 1
    assert value(values, Metric.RUN_STATE, state="finished") == 0
    assert value(values, Metric.RUN_STANDING, standing="working") == 1
    assert value(values, Metric.RUN_PLANNED, kind="apply") == planned
    assert value(values, Metric.RUN_PROGRESS) == 0
    assert value(values, Metric.RUN_BATCHES) == 0
    assert value(values, Metric.RUN_LANES_WANTED) == LANES
    assert value(values, Metric.RUN_LAST_BATCH) is None
    assert value(values, Metric.PAUSED) == 0
    assert value(values, Metric.SIGNAL_HEALTHY, signal="long_transaction") == 1
    assert value(values, Metric.SIGNAL_LIMIT, signal="replica_lag", unit="s") == 10
    # The policy's cutover is years ago.
    cutover_in = value(values, Metric.CUTOVER_IN)
    assert cutover_in is not None
    assert cutover_in < 0
    known = {metric.value.name for metric in Metric} | {
        Metric.RUN_LOCKS.value.name + part for part in ("_bucket", "_sum", "_count")
    }
    assert {name for name, _ in values} <= known
    assert job.end().status == 0


def test_the_file_has_the_last_numbers_and_they_are_the_ledgers(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    file = site.folder / "cleanup.prom"
    plan = site.approved_plan()
    site.run("apply", str(plan), "--metrics-file", str(file))
    values = read(file.read_text(encoding="utf-8"))
    ledger = site.rows(
        "SELECT count(*), sum(log_rows), sum(lock_ms::float8) / 1000, extract(epoch FROM max(written_at))::float8"
        " FROM cleanup.batch"
    )
    ((batches, log_rows, lock_seconds, last_batch),) = ledger
    assert value(values, Metric.RUN_STATE, state="finished") == 1
    assert value(values, Metric.RUN_PROGRESS) == 1
    assert value(values, Metric.RUN_BATCHES) == batches
    assert value(values, Metric.RUN_LOG_ROWS) == log_rows
    assert value(values, Metric.RUN_LOCKS, "_count") == batches
    assert value(values, Metric.RUN_LOCKS, "_bucket", le="+Inf") == batches
    assert value(values, Metric.RUN_LOCKS, "_sum") == pytest.approx(lock_seconds)
    assert value(values, Metric.RUN_LAST_BATCH) == pytest.approx(last_batch)
    settled = {
        dict(labels)["outcome"]: number
        for (name, labels), number in values.items()
        if name == Metric.RUN_SETTLED.value.name and number
    }
    assert settled == site.outcomes(site.last_run())
    assert value(values, Metric.JOB_FAILED) is None
    assert [path.name for path in site.folder.glob("cleanup.prom*")] == ["cleanup.prom"]


@on_one_version
def test_the_buckets_count_batches_by_how_long_they_held_their_locks(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    file = site.folder / "cleanup.prom"
    plan = site.approved_plan()
    site.run("apply", str(plan))
    site.tamper("UPDATE cleanup.batch SET lock_ms = 240 WHERE ctid <> (SELECT min(ctid) FROM cleanup.batch)")
    site.tamper("UPDATE cleanup.batch SET lock_ms = 9000 WHERE lock_ms <> 240")
    # As if its end had not come yet: the same command gives it one.
    site.tamper(
        "UPDATE cleanup.run SET state = 'running', finished_at = NULL, log_head = NULL WHERE run_id = 1",
        "DELETE FROM cleanup.wal_mark WHERE moment = 'end'",
    )
    site.run("apply", str(plan), "--metrics-file", str(file))
    values = read(file.read_text(encoding="utf-8"))
    batches = site.number("SELECT count(*) FROM cleanup.batch WHERE run_id = 1")
    assert value(values, Metric.RUN_LOCKS, "_bucket", le="0.175") == 0
    assert value(values, Metric.RUN_LOCKS, "_bucket", le="0.25") == batches - 1
    assert value(values, Metric.RUN_LOCKS, "_bucket", le="2.5") == batches - 1
    assert value(values, Metric.RUN_LOCKS, "_bucket", le="+Inf") == batches


@on_one_version
def test_nobody_ever_reads_half_of_the_file(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    build_gate(site)
    file = site.folder / "cleanup.prom"
    plan = site.approved_plan()
    with closed_gate(site):
        job = site.start("apply", str(plan), "--metrics-file", str(file))
        wait_at_gate(site, job)
        wait_for("the run's numbers", lambda: Metric.RUN_LANES.value.name in file.read_text(), process=job)
        ends = set[str]()
        enough = threading.Event()

        def reader() -> None:
            while not enough.is_set():
                text = file.read_text(encoding="utf-8")
                read(text)
                ends.add(text[-1:])

        thread = threading.Thread(target=reader)
        thread.start()
        inode = file.stat().st_ino
        wait_for("a newer file", lambda: file.stat().st_ino != inode, process=job)
        enough.set()
        thread.join()
    assert ends == {"\n"}
    assert job.end().status == 0


@on_one_version
def test_a_signal_that_holds_the_run_is_told_with_value_and_limit(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn, ONE_OLD_TRANSACTION)
    plan = site.approved_plan()
    with old_transaction(site):
        job = site.start("apply", str(plan), "--metrics-port", "0")
        port = port_of(job)
        wait_for("the pause", lambda: value(scrape(port), Metric.PAUSED) == 1, process=job)
        values = scrape(port)
        held = {"signal": "long_transaction", "unit": "s"}
        assert value(values, Metric.SIGNAL_HEALTHY, **held) == 0
        assert value(values, Metric.SIGNAL_READABLE, **held) == 1
        assert value(values, Metric.SIGNAL_LIMIT, **held) == 1
        measured = value(values, Metric.SIGNAL_VALUE, **held)
        assert measured is not None
        assert measured > 1
        assert value(values, Metric.RUN_STANDING, standing="waiting") == 1
        wait_for(
            "time that passes",
            lambda: (value(scrape(port), Metric.SIGNAL_HELD, **held) or 0) > 0,
            process=job,
        )
        ask(site, "set", str(site.last_run()), "pace.lanes=1", "--reason", "gently")
        wait_for("one lane less", lambda: value(scrape(port), Metric.RUN_LANES_WANTED) == 1, process=job)
    assert job.end().status == 0


@on_one_version
def test_batches_that_were_tried_again_are_told_by_cause(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    file = site.folder / "cleanup.prom"
    site.do(
        "CREATE SEQUENCE public.attempts",
        "CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('public.attempts') <= 3 THEN RAISE SQLSTATE '40001'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER conflict BEFORE UPDATE ON note FOR EACH STATEMENT EXECUTE FUNCTION conflict()",
    )
    plan = site.approved_plan()
    ended = site.run("apply", str(plan), "--metrics-file", str(file))
    values = read(file.read_text(encoding="utf-8"))
    assert value(values, Metric.RUN_RETRIES, cause="conflict") == 3
    said = [json.loads(line) for line in ended.err.splitlines() if "transaction.retried" in line]
    assert len(said) == 3
    for line in said:
        assert {"run", "lane", "table", "chunk", "run_pass", "batch"} <= line.keys(), line
    ((retries,),) = site.rows("SELECT sum((retries ->> 'conflict')::int) FROM cleanup.batch")
    assert retries == 3


@on_one_version
def test_a_plan_tells_its_numbers_too(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    file = site.folder / "cleanup.prom"
    with site.config.open("a", encoding="utf-8") as config:
        config.write(f'\n[metrics]\nfile = "{file}"\n')
    site.run("plan")
    values = read(file.read_text(encoding="utf-8"))
    assert value(values, Metric.PLAN_STATE, state="finished", plan="1") == 1
    assert value(values, Metric.PLAN_ROWS) == site.number(
        "SELECT (SELECT count(*) FROM note) + (SELECT count(*) FROM note_archive) + (SELECT count(*) FROM comment)"
    )
    assert value(values, Metric.PLAN_PROGRESS) == 1


@on_one_version
def test_a_job_that_fails_leaves_its_code(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    file = site.folder / "cleanup.prom"
    plan = site.plan()
    site.run("apply", str(plan), "--metrics-file", str(file), expect=1)
    assert value(read(file.read_text(encoding="utf-8")), Metric.JOB_FAILED, code="CLN-103") == 1


@on_one_version
def test_what_can_not_be_told_is_refused_at_the_door(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    build_gate(site)
    plan = site.approved_plan()
    with closed_gate(site):
        job = site.start("apply", str(plan), "--metrics-port", "0")
        port = port_of(job)
        wait_at_gate(site, job)
        ended = site.run("plan", "--metrics-port", str(port), expect=2)
        assert ended.err.startswith(f"CLN-207 metrics can not be told at 127.0.0.1:{port}: ")
        ended = site.run("plan", "--metrics-file", str(site.folder / "no" / "such.prom"), expect=2)
        assert ended.err.startswith("CLN-207 ")
    assert job.end().status == 0


@on_one_version
def test_a_file_that_can_not_be_written_any_more_stops_nothing(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    build_gate(site)
    plan = site.approved_plan()
    folder = site.folder / "told"
    folder.mkdir()
    with closed_gate(site):
        job = site.start("apply", str(plan), "--metrics-file", str(folder / "cleanup.prom"))
        wait_at_gate(site, job)
        folder.rename(site.folder / "elsewhere")
        wait_for("the event", lambda: "metrics.unwritten" in job.said(), process=job)
    ended = job.end()
    assert ended.status == 0
    assert ended.err.count("metrics.unwritten") == 1
