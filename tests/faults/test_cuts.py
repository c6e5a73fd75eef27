"""Connections cut at a COMMIT: whether it took effect, the job finds out from the ledger, and writes nothing twice."""

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import psycopg
import pytest

from cleanup.demo.server import Server
from tests.faults.conftest import MakeSite, heavy
from tests.faults.jobs import Pace, Site, wait_for
from tests.faults.proxy import Commit, Moment, Proxy
from tests.faults.said import events
from tests.faults.work import EVERY_VERB, WRITERS, Work
from tests.plugins.fault_table import Faults

UNREACHABLE: Final = 5
PACE: Final = Pace(chunk_rows=40, batch_rows_max=8)
# Transactions that each verb commits, by a query that no other transaction has.
KINDS: Final = {
    "plan": {"plans.create", "chunks.claim", "chunks.finish", "plans.finish"},
    "apply": {"runs.create_apply", "run_chunks.claim", "batches.open", "run_chunks.end_pass", "runs.close"},
    "rollback": {"runs.create_rollback", "run_chunks.claim", "batches.open", "run_chunks.end_pass", "runs.close"},
    "verify": {"findings.refused", "runs.get"},
}
# What is committed step by step, and the event that says so.
STEP: Final = {
    "plan": ("findings.receive", "chunk.finished"),
    "apply": ("batches.open", "batch.committed"),
    "rollback": ("batches.open", "batch.committed"),
}


@dataclass(slots=True)
class Scissors:
    """Cuts the first transaction of each kind, and then every so many of that kind, however kinds take turns."""

    moment: Moment
    every: int = 7
    seen: Counter[frozenset[str]] = field(default_factory=Counter)

    def __call__(self, commit: Commit) -> Moment | None:
        before = self.seen[commit.queries]
        self.seen[commit.queries] += 1
        return self.moment if before % self.every == 0 else None


@heavy
@pytest.mark.parametrize(
    "moment",
    [Moment.BEFORE, Moment.UNHEARD, Moment.AFTER, pytest.param(Moment.ABANDONED, marks=pytest.mark.long)],
    ids=lambda moment: moment.name.lower(),
)
def test_every_kind_of_transaction_is_cut_at_its_commit(make_site: MakeSite, faults: Faults, moment: Moment) -> None:
    site = make_site(120, PACE)
    for verb in EVERY_VERB:
        scissors = Scissors(moment)
        with Proxy(site.dsn, scissors) as proxy:
            work = Work(site, verb, faults, f"connection cut {moment.value}", through=proxy.dsn)
            ended = work.end(work.start())
        work.settle()
        kinds = {query for cut in proxy.cuts for query in cut.commit.queries}
        assert KINDS[verb] <= kinds, "some kind of transaction was not cut"
        assert len(proxy.cuts) >= 6
        match moment:
            case Moment.UNHEARD | Moment.AFTER:
                assert {cut.committed for cut in proxy.cuts} == {True}
            case Moment.BEFORE | Moment.ABANDONED:
                assert {cut.committed for cut in proxy.cuts} == {None}
        retried = [event for event in events(ended.err) if event["event"] == "transaction.retried"]
        assert {event["cause"] for event in retried} == {"session_lost"}
        if verb in STEP and moment is not Moment.ABANDONED:
            _require_known_fates(work, proxy, moment, ended.err)


def _require_known_fates(work: Work, proxy: Proxy, moment: Moment, said: str) -> None:
    """Whose answer was lost was found done in the ledger, and not done again; whose COMMIT was lost was done again."""
    query, event_name = STEP[work.verb]
    cut = sum(query in cut.commit.queries for cut in proxy.cuts)
    heard = sum(event["event"] == event_name for event in events(said))
    assert cut >= 2
    assert heard + (cut if moment is Moment.UNHEARD else 0) == work.progress()


@heavy
@pytest.mark.parametrize("verb", ["apply", pytest.param("rollback", marks=pytest.mark.long)])
def test_a_connection_that_never_lasts_to_a_commit(make_site: MakeSite, faults: Faults, verb: str) -> None:
    """The job gives up in time, says what to do, and the same command does the rest."""
    site = make_site(60, PACE)
    batches = 0

    def never(commit: Commit) -> Moment | None:
        nonlocal batches
        batches += "batches.open" in commit.queries
        return Moment.BEFORE if batches > 5 and "batches.open" in commit.queries else None

    with Proxy(site.dsn, never) as proxy:
        work = Work(site, verb, faults, "connection cut before every COMMIT, until the job gives up", through=proxy.dsn)
        ended = work.end(work.start(), expect=UNREACHABLE)
    assert "CLN-502 gave up after" in ended.err
    assert "run the same command again" in ended.err
    assert work.progress() == 5
    work.run_again()
    work.settle()


@dataclass(slots=True)
class Watcher:
    """Cuts nothing, and knows when the first of some transactions is about to be committed."""

    queries: frozenset[str]
    due: threading.Event = field(default_factory=threading.Event)

    def __call__(self, commit: Commit) -> None:
        if commit.queries & self.queries:
            self.due.set()


@heavy
def test_the_network_is_gone_for_a_while(make_site: MakeSite, faults: Faults) -> None:
    """Everything that a verb has open breaks, nothing new is to be had; when it is back, the verb goes on by itself."""
    site = make_site(120, PACE)
    for verb in EVERY_VERB:
        watcher = Watcher(frozenset({"chunks.finish", "batches.open", "findings.refused"}))
        with Proxy(site.dsn, watcher) as proxy:
            work = Work(site, verb, faults, "network gone for a while", through=proxy.dsn)
            process = work.start()
            wait_for("the verb's work", watcher.due.is_set, process=process)
            proxy.take_down()
            wait_for("attempts to come back", lambda: proxy.refused >= 6, process=process)
            proxy.bring_up()
            work.end(process)
        work.settle()


# ------------------------------------------------------------ COMMIT is in flight while another attempt asks for it


@heavy
@pytest.mark.parametrize("verb", WRITERS)
def test_a_commit_that_takes_effect_only_after_the_next_attempt_has_begun(
    make_site: MakeSite, own_server: Server, faults: Faults, verb: str
) -> None:
    """A look-up would see nothing, and the work would be done twice; the batch's key makes the next attempt wait."""
    site = make_site(60, Pace(lanes=1, chunk_rows=40, batch_rows_max=8), dsn=own_server.dsn())
    batches = 0

    def abandon_the_third(commit: Commit) -> Moment | None:
        nonlocal batches
        batches += "batches.open" in commit.queries
        if batches != 3 or "batches.open" not in commit.queries:
            return None
        # The server waits in COMMIT for a standby that is not there: what it writes is not visible meanwhile.
        _wait_for_standby(site, "nobody")
        return Moment.ABANDONED

    with Proxy(site.dsn, abandon_the_third) as proxy:
        work = Work(site, verb, faults, "COMMIT takes effect after the next attempt has begun", through=proxy.dsn)
        process = work.start()
        wait_for("the next attempt to wait for the first", lambda: _waits_for_another(site), process=process)
        assert work.progress() == 2
        _wait_for_standby(site, "")
        ended = work.end(process)
    assert len(proxy.cuts) == 1
    heard = sum(event["event"] == "batch.committed" for event in events(ended.err))
    assert heard == work.progress() - 1, "the batch was done anew"
    work.settle()


def _wait_for_standby(site: Site, name: str) -> None:
    with site.connect() as connection:
        connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'".encode())
        connection.execute("SELECT pg_reload_conf()")
    wait_for("the setting", lambda: site.value("SHOW synchronous_standby_names") == name)


def _waits_for_another(site: Site) -> bool:
    return (
        site.number(
            "SELECT count(*) FROM pg_stat_activity AS a"
            " JOIN pg_stat_activity AS b ON b.pid = ANY (pg_blocking_pids(a.pid))"
            " WHERE a.application_name LIKE 'cleanup % lane %' AND b.application_name = a.application_name"
        )
        > 0
    )


GATE: Final = """
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN NULL; END $$;
CREATE TRIGGER gate AFTER INSERT ON cleanup.batch FOR EACH ROW EXECUTE FUNCTION gate();
"""


@heavy
@pytest.mark.parametrize("verb", WRITERS)
def test_an_attempt_that_fails_only_after_the_next_one_has_begun(
    make_site: MakeSite, faults: Faults, verb: str
) -> None:
    """The server still holds what the first attempt has written; when it has thrown that away, the next one does it."""
    pace = Pace(lanes=1, chunk_rows=40, batch_rows_max=8, lock_timeout_ms=3_000)
    site = make_site(60, pace)
    with Proxy(site.dsn, lambda _: None) as proxy:
        work = Work(site, verb, faults, "an attempt fails after the next one has begun", through=proxy.dsn)
        site.do(*GATE.strip().split(";\n"))
        with psycopg.connect(site.dsn, autocommit=True) as keeper:
            keeper.execute("SELECT pg_advisory_lock(77)")
            process = work.start()
            wait_for("the lane at the gate", lambda: _at_gate(site) == 1, process=process)
            proxy.cut_all()
            wait_for("the next attempt to wait for the first", lambda: _waits_for_another(site), process=process)
            keeper.execute("SELECT pg_advisory_unlock(77)")
        work.end(process)
    work.settle()


def _at_gate(site: Site) -> int:
    return site.number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
