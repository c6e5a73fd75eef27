"""Connections that break and servers that go away: the job tries again, or the same command goes on."""

from collections.abc import Callable

import pytest

from cleanup.demo.server import Server, StopMode
from tests.faults.conftest import MakeSite, heavy
from tests.faults.jobs import Pace, Process, Row, Site, wait_for

UNREACHABLE = 5
PACE = Pace(chunk_rows=20, batch_rows_max=8)
VERBS = ["plan", "apply", "rollback"]
LONG_VERBS = [pytest.param(verb, marks=pytest.mark.long) for verb in ("plan", "rollback")]


class Work:
    """A verb with something to do, what tells its progress, and what the posts have to be at its end."""

    def __init__(self, site: Site, verb: str) -> None:
        self.site = site
        self.verb = verb
        self.words = [verb]
        self._before = 0
        self.original = site.everything()
        if verb != "plan":
            self.words.append(str(site.approved_plan()))
        if verb == "rollback":
            site.run("apply", self.words[1])
            self._before = site.last_run()
            self.words = [verb, str(self._before)]

    def progress(self) -> int:
        if self.verb == "plan":
            return self.site.number("SELECT count(*) FROM cleanup.chunk WHERE state = 'done'")
        return self.site.number("SELECT count(*) FROM cleanup.batch WHERE run_id > %s", self._before)

    def require_whole(self) -> None:
        """The end state of an undisturbed run."""
        planned = self.site.number("SELECT sum(actionable)::bigint FROM cleanup.chunk")
        if self.verb == "plan":
            assert self.site.rows("SELECT state FROM cleanup.plan") == [("finished",)]
            assert planned == 620
            assert self.site.everything() == self.original
            return
        self.site.require_sound(self.site.last_run(), planned=planned)
        if self.verb == "rollback":
            assert self.site.everything() == self.original
        else:
            assert self.site.left_in_scope() == 0


def lanes(site: Site) -> list[Row]:
    return site.rows(
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'cleanup % lane %'"
    )


@heavy
@pytest.mark.parametrize("verb", VERBS)
def test_lanes_whose_connections_are_terminated_again_and_again(make_site: MakeSite, verb: str) -> None:
    site = make_site(200, PACE)
    work = Work(site, verb)
    process = site.start(*work.words)
    thrown_out = 0
    for goal in range(3, 24, 3):
        wait_for(f"step {goal}", _reached(work.progress, goal), process=process)
        for (pid,) in lanes(site):
            thrown_out += site.value("SELECT pg_terminate_backend(%s)", pid) is True
    ended = process.end()
    assert ended.status == 0, ended.err
    assert thrown_out >= 7
    assert "transaction.retried" in ended.err
    work.require_whole()


def _reached(progress: Callable[[], int], goal: int) -> Callable[[], bool]:
    return lambda: progress() >= goal


@heavy
@pytest.mark.parametrize("verb", VERBS)
def test_the_server_restarts_in_the_middle(make_site: MakeSite, own_server: Server, verb: str) -> None:
    site = make_site(200, PACE, dsn=own_server.dsn())
    work = Work(site, verb)
    process = site.start(*work.words)
    for goal in (5, 15):
        wait_for(f"step {goal}", _reached(work.progress, goal), process=process)
        own_server.restart(StopMode.IMMEDIATE)
    ended = process.end()
    assert ended.status in (0, UNREACHABLE), ended.err
    if ended.status == UNREACHABLE:
        assert "run the same command" in ended.err
        site.run(*work.words)
    work.require_whole()


@heavy
@pytest.mark.parametrize("verb", [*LONG_VERBS, "apply"])
def test_a_server_that_stays_away_ends_the_job_and_the_same_command_goes_on(
    make_site: MakeSite, own_server: Server, verb: str
) -> None:
    site = make_site(200, PACE, dsn=own_server.dsn())
    work = Work(site, verb)
    process = site.start(*work.words)
    wait_for("step 5", _reached(work.progress, 5), process=process)
    own_server.kill()
    ended = process.end()
    assert ended.status == UNREACHABLE, ended.err
    assert "CLN-50" in ended.err
    assert "Traceback" not in ended.err
    _require_no_lane(process)
    own_server.restart()
    done = work.progress()
    assert done >= 5
    site.run(*work.words)
    assert work.progress() > done
    work.require_whole()


def _require_no_lane(process: Process) -> None:
    assert process.lanes() == []
