"""SIGTERM in every verb: exit 4 with the way on, nothing half done, and the same command completes the job."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import psycopg
import pytest

from cleanup.cli import VERBS
from tests.faults.jobs import DEADLINE_SECONDS, Pace, Process, Site, wait_for
from tests.integration.asking import begin
from tests.integration.conftest import MakeSite
from tests.integration.watched import build_gate, closed_gate, wait_at_gate
from tests.plugins.servers import WHEEL_MAJOR

INTERRUPTED: Final = 4
# In the order in which a job meets them, so that each finds what it needs. The last run is the one of `apply` until it
# is rolled back.
SESSION: Final = (
    ("init",),
    ("check",),
    ("plan",),
    ("report", "1"),
    ("review", "1", "--export", "review.jsonl"),
    ("approve", "1", "--digest", "DIGEST", "--by", "Lin", "--ticket", "CHG-1"),
    ("apply", "1", "--rehearse"),
    ("apply", "1"),
    ("status", "1"),
    ("verify", "1"),
    ("rollback", "1", "--dry-run"),
    ("rollback", "1"),
    ("log", "1", "--export", "archive"),
    ("purge", "1", "--force", "--reason", "CHG-2"),
)
# What is asked of a run that is open; the last one ends it.
ASKED: Final = (
    ("pause", "1", "--reason", "CHG-3"),
    ("set", "1", "pace.lanes=2", "--reason", "CHG-3"),
    ("resume", "1"),
    ("cancel", "1", "--reason", "CHG-3"),
)
# Neither meets a ledger that somebody else could hold.
WITHOUT_LEDGER: Final = {"explain", "demo"}
# Takes part in neither: one waits for another `init`, the others for what they read first.
_KEEP: Final = {
    "init": "SELECT pg_advisory_lock(hashtextextended('cleanup.init', 0))",
    "check": "LOCK TABLE note IN ACCESS EXCLUSIVE MODE",
}
_WITHOUT_CONFIG: Final = {"init", "status", "log", "purge", "pause", "set", "resume", "cancel"}
_WAITS: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE 'cleanup %%' AND wait_event_type = 'Lock'"
)
on_one_version = pytest.mark.parametrize("major", [WHEEL_MAJOR], ids=["pg18"], indirect=True)


@pytest.fixture
def pace() -> Pace:
    return Pace(lanes=1)


@pytest.fixture
def site(database_dsn: str, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    monkeypatch.chdir(tmp_path)
    return make_site(database_dsn, rows=12)


@contextlib.contextmanager
def kept_waiting(site: Site, verb: str) -> Iterator[None]:
    """Let a verb wait for what it needs first."""
    with psycopg.connect(site.dsn, application_name="keeper") as keeper:
        keeper.execute(_KEEP.get(verb, "LOCK TABLE cleanup.migration IN ACCESS EXCLUSIVE MODE").encode())
        yield
        keeper.rollback()


def words_of(site: Site, words: tuple[str, ...]) -> list[str]:
    if "DIGEST" not in words:
        return list(words)
    digest = str(site.value("SELECT encode(digest, 'hex') FROM cleanup.plan"))
    return [digest if word == "DIGEST" else word for word in words]


def start(site: Site, words: list[str]) -> Process:
    return (begin if words[0] in _WITHOUT_CONFIG else Site.start)(site, *words)


def end_while_it_waits(site: Site, given: list[str]) -> None:
    """Let a verb wait, end it by SIGTERM, and give the same command once more."""
    with kept_waiting(site, given[0]):
        process = start(site, given)
        wait_for(f"{given} to wait", lambda: site.number(_WAITS) > 0, process=process)
        process.signal(signal.SIGTERM)
        ended = process.end()
    assert ended.status == INTERRUPTED, f"{given}\n{ended.out}\n{ended.err}"
    assert "HINT: " in ended.err, given
    assert "Traceback" not in ended.err, given
    again = start(site, given).end()
    assert again.status == 0, f"{given}\n{again.out}\n{again.err}"


def test_every_verb_is_ended_by_one_of_these_tests() -> None:
    assert {words[0] for words in (*SESSION, *ASKED)} | WITHOUT_LEDGER == set(VERBS)


@on_one_version
def test_sigterm_ends_every_verb_and_the_same_command_completes_it(site: Site) -> None:
    for words in SESSION:
        end_while_it_waits(site, words_of(site, words))
    assert site.rows("SELECT kind, state FROM cleanup.run ORDER BY run_id") == [
        ("apply", "finished"),
        ("rollback", "finished"),
    ]


@on_one_version
def test_sigterm_ends_what_is_asked_of_an_open_run(site: Site) -> None:
    build_gate(site)
    plan = site.approved_plan()
    with closed_gate(site):
        process = site.start("apply", str(plan))
        wait_at_gate(site, process)
        process.kill()
    for words in ASKED:
        end_while_it_waits(site, list(words))
    assert site.rows("SELECT state FROM cleanup.run") == [("cancelled",)]


def test_sigterm_ends_the_demo_and_its_server() -> None:
    command = [sys.executable, "-m", "cleanup", "demo", "--rows", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert any(b"embedded PostgreSQL" in line for line in process.stdout)
        children = psutil.Process(process.pid).children(recursive=True)
        assert "postgres" in {child.name() for child in children}
        process.terminate()
        _, said = process.communicate()
    assert process.returncode == INTERRUPTED
    assert b"HINT: " in said
    assert b"Traceback" not in said
    _, alive = psutil.wait_procs(children, timeout=DEADLINE_SECONDS)
    assert alive == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_verb_that_waits_for_its_input_can_be_ended(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "cleanup", "explain", "--jsonl"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Whoever starts the tests in the background has the shell ignore it for all of them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no thread yet
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"id": 1, "format": "text", "text": "none"}\n')
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(number)
        _, said = process.communicate()
    assert process.returncode == INTERRUPTED
    assert b"HINT: " in said
    assert b"Traceback" not in said
