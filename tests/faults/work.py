"""A verb with something to do: how to call it, how far it has come, and what it has to come to."""

from collections.abc import Callable
from typing import Final

import pytest

from tests.faults.jobs import Ended, Process, Site
from tests.faults.measuring import Peace, differing_rows, measure_plan, measure_run, undisturbed
from tests.faults.stepping import in_this_process
from tests.plugins.fault_table import FaultCase, Faults, Measured

WRITERS: Final = ("apply", "rollback")
WITH_LANES: Final = ("plan", *WRITERS)
# Where one verb stands for the others, since a case takes long: these are among the long tests.
APPLY_AND_LONG: Final = ("apply", *(pytest.param(verb, marks=pytest.mark.long) for verb in ("plan", "rollback")))
# Likewise, where the matter is one of writing.
APPLY_AND_ROLLBACK_LONG: Final = ("apply", pytest.param("rollback", marks=pytest.mark.long))
# In the order in which a job uses them, so that each finds what the one before it has made.
EVERY_VERB: Final = ("plan", "apply", "verify", "rollback")


class Work:
    """One verb of one site, announced as a case of the fault table, and settled against an undisturbed run.

    What has to come before the verb is done in peace when the work is made.
    """

    def __init__(self, site: Site, verb: str, faults: Faults, fault: str, *, through: str = "") -> None:
        self.site = site
        self._through = through
        self.verb = verb
        self.words: tuple[str, ...] = (verb,)
        self.run_before = 0
        self._case: FaultCase = faults.case(fault, verb)
        self.peace: Peace = undisturbed(site)
        self._answer: list[str] = []
        if verb != "plan":
            self.plan = self._approved_plan()
            self.words = (verb, str(self.plan))
        if verb in ("rollback", "verify"):
            self.run_before = self._applied()
            self.words = (verb, str(self.run_before))
        if verb == "verify":
            self.words = (*self.words, "--format", "json")
            self._answer = [site.run(*self.words).out]
            self._ledger = self._whole_ledger()

    def _approved_plan(self) -> int:
        """The plan that earlier work of this site has made, or a new one."""
        if self.site.number("SELECT count(*) FROM cleanup.plan") == 0:
            with in_this_process() as stepping:
                return stepping.plan(self.site)
        plan = self.site.number("SELECT max(plan_id) FROM cleanup.plan")
        if self.site.number("SELECT count(*) FROM cleanup.approval") == 0:
            self.site.approve(plan)
        return plan

    def _applied(self) -> int:
        """The run that earlier work of this site has made, or a new one."""
        if self.site.number("SELECT count(*) FROM cleanup.run") == 0:
            with in_this_process() as stepping:
                stepping.apply(self.site, self.plan)
        return self.site.run_of(self.plan)

    def start(self) -> Process:
        """The verb as a process."""
        return self.site.start(*self.words, through=self._through)

    def end(self, process: Process, *, expect: int = 0) -> Ended:
        """Wait for the verb's end, and remember what it said."""
        ended = process.end()
        assert ended.status == expect, ended.err
        assert "Traceback" not in ended.err
        self._answer.append(ended.out)
        return ended

    def run_again(self) -> Ended:
        """The same command, which has to come to its end; not by the way that the fault may have closed."""
        return self.end(self.site.start(*self.words))

    def progress(self) -> int:
        """How many chunks or batches are committed."""
        if self.verb == "plan":
            return self.site.number("SELECT count(*) FROM cleanup.chunk WHERE state = 'done'")
        return self.site.number("SELECT count(*) FROM cleanup.batch WHERE run_id > %s", self.run_before)

    def has_come_to(self, steps: int) -> Callable[[], bool]:
        """Whether so many chunks or batches are committed, to wait for."""
        return lambda: self.progress() >= steps

    @property
    def run(self) -> int:
        """The run of an apply or rollback."""
        return self.site.last_run()

    def settle(self) -> None:
        """Require the end state of an undisturbed run, and put what was measured into the table."""
        self._case.settle(self._measure())
        if self.verb in WRITERS:
            assert self.site.value("SELECT state FROM cleanup.run WHERE run_id = %s", self.run) == "finished"
            assert sum(self.site.outcomes(self.run).values()) == self.peace.planned
            assert self.site.verify(self.run).log_problems == []
            # One command, however often it was given: one run.
            assert self.site.number("SELECT count(*) FROM cleanup.run WHERE run_id > %s", self.run_before) == 1

    def _measure(self) -> Measured:
        site, peace = self.site, self.peace
        match self.verb:
            case "plan":
                assert site.number("SELECT count(*) FROM cleanup.plan") == 1
                return measure_plan(site, site.number("SELECT max(plan_id) FROM cleanup.plan"), peace)
            case "verify":
                return Measured(
                    rows_lost=differing_rows(site.everything(), peace.applied) + (self._answer[0] != self._answer[-1]),
                    log_differs=int(self._whole_ledger() != self._ledger),
                )
            case _:
                return measure_run(site, self.run, peace.original if self.verb == "rollback" else peace.applied)

    def _whole_ledger(self) -> object:
        """The contents of every table of the ledger: a verb that only looks leaves them as they are."""
        tables = self.site.rows(
            "SELECT relname FROM pg_class WHERE relnamespace = 'cleanup'::regnamespace AND relkind = 'r' ORDER BY 1"
        )
        return [(name, self.site.rows(f"SELECT t::text FROM cleanup.{name} AS t ORDER BY 1")) for (name,) in tables]
