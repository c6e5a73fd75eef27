"""Purging under faults: all of it happens or nothing, the same command completes it, and nobody waits long for it."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final

import psycopg
import pytest

from tests.faults.conftest import MakeSite, heavy
from tests.faults.jobs import Ended, Pace, Process, Site, wait_for
from tests.plugins.fault_table import Faults, Measured

PACE: Final = Pace(lanes=1)
ROWS: Final = 20
_ADVISORY: Final = 4711


class Step(Enum):
    """Where the server holds a purge, or what has to wait for it; the value is what the fault table says."""

    DROPPING = "before the log is dropped"
    DROPPED = "log dropped, findings not yet"
    RECORDED = "proof written, not committed"
    COMMITTING = "COMMIT sent"
    RUN_CREATED = "run created, not committed"
    RESTORED = "log restored, not committed"


_ROW_GATES: Final = {
    Step.RECORDED: "TRIGGER {} AFTER INSERT ON cleanup.purge FOR EACH ROW",
    Step.COMMITTING: "CONSTRAINT TRIGGER {} AFTER INSERT ON cleanup.event DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    " WHEN (NEW.name = 'run.purged')",
    Step.RUN_CREATED: "TRIGGER {} AFTER INSERT ON cleanup.run FOR EACH ROW",
    Step.RESTORED: "TRIGGER {} AFTER INSERT ON cleanup.restoration FOR EACH ROW",
}
_FUNCTIONS: Final = f"""
CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = '0' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared({_ADVISORY}, tg_argv[0]::int);
    RETURN NULL;
END $$;
CREATE FUNCTION public.hold_before_drop() RETURNS event_trigger LANGUAGE plpgsql SET lock_timeout = '0' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared({_ADVISORY}, 0);
END $$;
CREATE FUNCTION public.hold_after_drop() RETURNS event_trigger LANGUAGE plpgsql SET lock_timeout = '0' AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE object_name LIKE 'change_log_%') THEN
        PERFORM pg_advisory_xact_lock_shared({_ADVISORY}, 1);
    END IF;
END $$;
CREATE EVENT TRIGGER hold_before_drop ON ddl_command_start WHEN TAG IN ('DROP TABLE')
    EXECUTE FUNCTION public.hold_before_drop();
CREATE EVENT TRIGGER hold_after_drop ON sql_drop WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION public.hold_after_drop();
"""


def number_of(step: Step) -> int:
    return list(Step).index(step)


class Gate:
    """One step's gate, on a connection of its own."""

    def __init__(self, connection: "psycopg.Connection[tuple[object, ...]]", site: Site, step: Step) -> None:
        self._connection = connection
        self._site = site
        self._place = (_ADVISORY, number_of(step))

    def close(self) -> None:
        self._connection.execute("SELECT pg_advisory_lock(%s, %s)", self._place)

    def open(self) -> None:
        self._connection.execute("SELECT pg_advisory_unlock(%s, %s)", self._place)

    def wait(self, process: Process) -> int:
        """Until a session waits at the gate; its pid."""
        wait_for("a session at the gate", lambda: bool(self._held()), process=process)
        return self._held()[0]

    def terminate(self, pid: int) -> None:
        self._connection.execute("SELECT pg_terminate_backend(%s)", (pid,))

    def _held(self) -> list[int]:
        rows = self._site.rows(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND classid = %s AND objid = %s",
            *self._place,
        )
        return [int(str(pid)) for (pid,) in rows]


@contextmanager
def closed(site: Site, step: Step) -> Iterator[Gate]:
    with site.connect() as connection:
        gate = Gate(connection, site, step)
        gate.close()
        yield gate


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Run 1, with gates around what may be done to it."""
    made = make_site(ROWS, PACE)
    made.do(_FUNCTIONS)
    for step, place in _ROW_GATES.items():
        made.do(f"CREATE {place.format('hold')} EXECUTE FUNCTION public.hold({number_of(step)})")
    made.run("apply", str(made.approved_plan()))
    return made


def purging(run: int) -> tuple[str, ...]:
    return ("purge", str(run), "--force", "--reason", "the test")


def start(site: Site, *words: str) -> Process:
    """A verb that reads no config, as a process."""
    command = [sys.executable, "-m", "cleanup", *words, "--dsn", site.dsn]
    process = Process(command, site.folder / f"process-{len(site.processes)}")
    site.processes.append(process)
    return process


def done(site: Site, *words: str) -> Ended:
    ended = start(site, *words).end()
    assert ended.status == 0, f"{words} ended with {ended.status}\n{ended.out}\n{ended.err}"
    return ended


def no_session_left(site: Site) -> bool:
    return site.number(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'cleanup %'"
    ) == 0  # fmt: skip


def traces(site: Site, run: int) -> tuple[bool, ...]:
    """What a purge does, piece by piece: log gone, its texts gone, proof, event."""
    return (
        site.value(f"SELECT to_regclass('cleanup.change_log_{run}') IS NULL") is True,
        site.number("SELECT count(*) FROM cleanup.change_log WHERE run_id = %s", run) == 0,
        site.number("SELECT count(*) FROM cleanup.purge WHERE run_id = %s", run) == 1,
        site.number("SELECT count(*) FROM cleanup.event WHERE name = 'run.purged' AND run_id = %s", run) == 1,
    )


def measured(site: Site, run: int, *, done: bool, log_rows: int) -> Measured:
    """Lost: rows without a proof of them. Differs: what is neither as before nor as after a purge."""
    pieces = traces(site, run)
    proven = site.number("SELECT coalesce(sum(log_rows), 0)::bigint FROM cleanup.purge WHERE run_id = %s", run)
    there = site.number("SELECT count(*) FROM cleanup.change_log WHERE run_id = %s", run)
    return Measured(rows_lost=abs(log_rows - proven - there), log_differs=sum(piece is not done for piece in pieces))


@heavy
def test_killed_at_every_step_it_is_done_or_not_at_all(site: Site, faults: Faults) -> None:
    for run in (1, 2, 3):
        site.run("rollback", str(run))
    steps = (Step.DROPPING, Step.RECORDED, Step.COMMITTING, Step.DROPPED)
    # The last run is the one whose purge drops the findings too, so that there is something between the two.
    for run, step in enumerate(steps, start=1):
        case = faults.case(f"SIGKILL: {step.value}", "purge")
        log_rows = site.number("SELECT count(*) FROM cleanup.change_log WHERE run_id = %s", run)
        findings = site.number("SELECT count(*) FROM cleanup.finding")
        assert log_rows > 0
        with closed(site, step) as gate:
            process = start(site, *purging(run))
            gate.wait(process)
            process.kill()
            gate.open()
            wait_for("the end of its session", lambda: no_session_left(site))
        # What was sent before the kill is done by the server, and nothing else.
        after_kill = measured(site, run, done=step is Step.COMMITTING, log_rows=log_rows)
        assert site.number("SELECT count(*) FROM cleanup.finding") == findings
        assert "was purged at" in done(site, *purging(run)).out
        case.settle(after_kill + measured(site, run, done=True, log_rows=log_rows))
    assert site.number("SELECT count(*) FROM cleanup.finding") == 0
    assert site.rows("SELECT run_id, findings > 0 FROM cleanup.purge ORDER BY run_id") == [
        (1, False), (2, False), (3, False), (4, True)
    ]  # fmt: skip


@heavy
def test_a_purge_whose_session_is_ended_does_it_again(site: Site, faults: Faults) -> None:
    log_rows = site.number("SELECT count(*) FROM cleanup.change_log")
    for run, step in enumerate((Step.RECORDED, Step.COMMITTING), start=1):
        if run > 1:
            done(site, "log", "1", "--restore", str(site.folder / "archive"))
        else:
            done(site, "log", "1", "--export", str(site.folder / "archive"))
        case = faults.case(f"pg_terminate_backend: {step.value}", "purge")
        site.tamper("UPDATE cleanup.event SET name = 'past' WHERE name = 'run.purged'")
        with closed(site, step) as gate:
            process = start(site, *purging(1))
            gate.terminate(gate.wait(process))
            gate.open()
            ended = process.end()
        assert ended.status == 0, ended.err
        assert "transaction.retried" in ended.err
        assert site.number("SELECT count(*) FROM cleanup.event WHERE name = 'run.purged'") == 1
        assert site.number("SELECT count(*) FROM cleanup.purge WHERE log_rows = %s", log_rows) == run
        case.settle(Measured(rows_lost=site.number("SELECT count(*) FROM cleanup.change_log")))


@heavy
def test_two_purges_at_once_are_one(site: Site, faults: Faults) -> None:
    case = faults.case("two operators at once", "purge")
    log_rows = site.number("SELECT count(*) FROM cleanup.change_log")
    with closed(site, Step.RECORDED) as gate:
        first = start(site, *purging(1))
        gate.wait(first)
        second = start(site, *purging(1))
        wait_for("the second to wait", lambda: "transaction.retried" in second.said(), process=second)
        gate.open()
        answers = [process.end() for process in (first, second)]
    assert [answer.status for answer in answers] == [0, 0], answers
    said = {re.sub(r"^[^{]*was purged at (\S+) by.*", r"\1", answer.out.splitlines()[0]) for answer in answers}
    assert len(said) == 1, "they speak of two purges"
    case.settle(measured(site, 1, done=True, log_rows=log_rows))


@heavy
def test_nobody_waits_behind_a_purge_that_has_to_wait(site: Site) -> None:
    """A reader keeps the purge from its lock; without a limit of its own everybody would queue behind it."""
    with site.connect() as reader, site.connect() as writer:
        reader.execute("BEGIN; SELECT count(*) FROM cleanup.change_log")
        process = start(site, *purging(1))
        wait_for("the purge to give way", lambda: "transaction.retried" in process.said(), process=process)
        assert "55P03" in process.said()
        writer.execute("SET lock_timeout = '2s'")
        while process.said().count("transaction.retried") < 4:
            writer.execute("BEGIN; LOCK TABLE cleanup.change_log IN ROW EXCLUSIVE MODE; COMMIT")
        assert not any(traces(site, 1))
        reader.execute("COMMIT")
        assert process.end().status == 0
    assert all(traces(site, 1))


@heavy
def test_a_rollback_that_comes_while_the_log_goes_is_refused(site: Site) -> None:
    before = site.everything()
    with closed(site, Step.RECORDED) as gate:
        purge = start(site, *purging(1))
        gate.wait(purge)
        rollback = site.start("rollback", "1")
        wait_for(
            "the rollback to wait",
            lambda: site.number("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'cleanup rollback%'"
                                " AND wait_event_type = 'Lock'") > 0,
            process=rollback,
        )  # fmt: skip
        gate.open()
        assert purge.end().status == 0
        ended = rollback.end()
    assert (ended.status, "CLN-114" in ended.err) == (1, True), ended.err
    assert site.everything() == before
    assert site.number("SELECT count(*) FROM cleanup.run") == 1


@heavy
def test_a_purge_that_comes_while_a_rollback_is_created_is_refused(site: Site) -> None:
    original = site.number("SELECT count(*) FROM cleanup.change_log")
    with closed(site, Step.RUN_CREATED) as gate:
        rollback = site.start("rollback", "1")
        gate.wait(rollback)
        purge = start(site, *purging(1))
        wait_for("the purge to wait", lambda: "transaction.retried" in purge.said(), process=purge)
        gate.open()
        assert rollback.end().status == 0
        ended = purge.end()
    # It comes while the rollback is open, or after its end; never in between.
    assert ended.status == (0 if all(traces(site, 1)) else 1), ended.err
    assert ended.status == 0 or "CLN-115" in ended.err
    assert site.number("SELECT count(*) FROM cleanup.change_log WHERE run_id = 2") == original
    assert site.outcomes(2) == {"restored": original}


@heavy
def test_a_killed_restore_has_restored_nothing(site: Site, faults: Faults) -> None:
    case = faults.case(f"SIGKILL: {Step.RESTORED.value}", "log --restore")
    archive = str(site.folder / "archive")
    log = site.rows("SELECT * FROM cleanup.change_log ORDER BY finding_number")
    done(site, "log", "1", "--export", archive, "--format", "csv")
    done(site, *purging(1))
    with closed(site, Step.RESTORED) as gate:
        process = start(site, "log", "1", "--restore", archive)
        gate.wait(process)
        process.kill()
        gate.open()
        wait_for("the end of its session", lambda: no_session_left(site))
    half = site.number("SELECT count(*) FROM cleanup.change_log") + site.number(
        "SELECT count(*) FROM cleanup.restoration"
    )
    done(site, "log", "1", "--restore", archive)
    found = site.rows("SELECT * FROM cleanup.change_log ORDER BY finding_number")
    case.settle(Measured(rows_lost=len(set(map(str, log)) ^ set(map(str, found))), log_differs=half))
