"""What a job shows of itself: a bar below its events on a terminal, and JSON lines alone in a pipe."""

import json
import re
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.faults.jobs import Site
from tests.integration.conftest import MakeSite
from tests.integration.jobs import REPOSITORY
from tests.integration.terminals import COLUMNS, Terminal
from tests.integration.watched import (
    LANES,
    ONE_OLD_TRANSACTION,
    build_gate,
    closed_gate,
    old_transaction,
    wait_at_gate,
)
from tests.plugins.servers import WHEEL_MAJOR

# A bar is the same on every version.
pytestmark = pytest.mark.parametrize("major", [WHEEL_MAJOR], ids=["pg18"], indirect=True)


def on_terminal(site: Site, *words: str) -> Terminal:
    return Terminal([*words, "--config", str(site.config), "--dsn", site.dsn], {})


def on_terminal_after(site: Site, author: ExitStack, *words: str) -> Terminal:
    """The same, held by a transaction that is there before it and that ends with what is given."""
    author.enter_context(old_transaction(site))
    return on_terminal(site, *words)


def bars(terminal: Terminal, name: str) -> list[str]:
    """Every state of the bar that was drawn."""
    pieces = re.split(r"\r\x1b\[2K|\r|\n", terminal.raw)
    shown = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", piece).rstrip() for piece in pieces]
    return [piece for piece in shown if piece.startswith(name) and "━" in piece]


def test_apply_shows_a_bar_and_why_it_waits_below_its_events(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn, ONE_OLD_TRANSACTION)
    plan = site.approved_plan()
    planned = site.number("SELECT sum(actionable)::bigint FROM cleanup.chunk")
    with ExitStack() as author, on_terminal_after(site, author, "apply", str(plan)) as terminal:
        terminal.wait_for("why it waits", lambda text: "waiting: long_transaction" in text)
        (first, *_) = bars(terminal, "run 1 apply")
        assert re.search(rf" 0\.0% · 0/{planned} findings · waiting: long_transaction [\d,.]+ s, limit 1 \(", first), (
            first
        )
        # The event has a line of its own, in the place where the bar was.
        assert re.search(r"\r\x1b\[2K.*throttle\.paused", terminal.raw)
        author.close()
        assert terminal.end() == 0
        *_, last = bars(terminal, "run 1 apply")
        assert re.search(rf"100\.0% · {planned}/{planned} findings · finished · changed [\d,]+", last), last
        assert max(map(len, bars(terminal, "run 1 apply"))) <= COLUMNS, (
            "a bar of two lines can not be cleared by others"
        )
        assert "run.finished" in terminal.seen
        assert "batch.committed" not in terminal.seen, "the bar says that already"
        assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l"), "the cursor is hidden"


def test_plan_verify_and_a_rehearsal_show_a_bar(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    with on_terminal(site, "plan") as terminal:
        assert terminal.end() == 0
        *_, last = bars(terminal, "plan 1")
        assert re.search(r"100\.0% · [\d,]+ rows read · finished · [\d,]+ findings, [\d,]+ to be changed$", last), last
    with on_terminal(site, "apply", "1", "--rehearse") as terminal:
        assert terminal.end() == 0
        assert re.search(r"\d% · \d+/\d+ findings", bars(terminal, "rehearsal of plan 1")[0])
    site.approve(1)
    site.run("apply", "1")
    with on_terminal(site, "verify") as terminal:
        assert terminal.end() == 0
        assert re.search(r"verify +[\d,]+ rows read · [\d,]+/s", terminal.seen), terminal.seen
    with on_terminal(site, "rollback", "1") as terminal:
        assert terminal.end() == 0
        assert " · finished · restored " in bars(terminal, "run 2 rollback")[-1]


def test_an_interrupted_job_leaves_the_terminal_as_it_was(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn, ONE_OLD_TRANSACTION)
    plan = site.approved_plan()
    with old_transaction(site), on_terminal(site, "apply", str(plan)) as terminal:
        terminal.wait_for("why it waits", lambda text: "waiting: long_transaction" in text)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 4
        assert bars(terminal, "run 1 apply")[-1].endswith("interrupted")
        assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l"), "the cursor is hidden"
        # Below the bar, on a line of its own.
        assert re.search(r"^CLN-\d{3} run 1 was interrupted", terminal.seen, re.MULTILINE), terminal.seen


def test_in_a_pipe_there_are_json_lines_alone(database_dsn: str, make_site: MakeSite) -> None:
    site = make_site(database_dsn)
    build_gate(site)
    plan = site.approved_plan()
    with closed_gate(site):
        job = site.start("apply", str(plan))
        wait_at_gate(site, job, LANES)
    ended = job.end()
    assert ended.status == 0
    names = [json.loads(line)["event"] for line in ended.err.splitlines()]
    assert "run.started" in names
    assert names.count("batch.committed") == site.number("SELECT count(*) FROM cleanup.batch")
    assert "\x1b" not in ended.out + ended.err


@pytest.mark.parametrize("module", ["cleanup.cli", "cleanup.commands.apply", "cleanup.engine.applying"])
def test_what_draws_and_tells_is_not_imported_where_nobody_looks(module: str, major: int) -> None:
    del major
    code = f"import sys, {module}; print(sorted({{'rich', 'prometheus_client', 'pygments'}} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=REPOSITORY)
    assert found.stdout == "[]\n"
