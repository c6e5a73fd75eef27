"""A verb with something to do: how to call it, how far it has come, and what it has to come to."""

from collections.abc import Callable
from typing import Final

from tests.faults.jobs import Ended, Process, Site
from tests.faults.measuring import Peace, differing_rows, measure_plan, measure_run, undisturbed
from tests.plugins.fault_table import FaultCase, Faults, Measured

WRITERS: Final = ("apply", "rollback")
WITH_LANES: Final = ("plan", *WRITERS)
EVERY_VERB: Final = (*WITH_LANES, "verify")


class Work:
    """One verb of one site, announced as a case of the fault table, and settled against an undisturbed run.

    What has to come before the verb is done in peace when the work is made.
    """

    def __init__(self, site: Site, verb: str, faults: Faults, fault: str) -> None:
        self.site = site
        self.verb = verb
        self.words: tuple[str, ...] = (verb,)
        self.run_before = 0
        self._case: FaultCase = faults.case(fault, verb)
        self.peace: Peace = undisturbed(site)
        self._answer: list[str] = []
        if verb != "plan":
            self.plan = site.approved_plan()
            self.words = (verb, str(self.plan))
        if verb in ("rollback", "verify"):
            site.run("apply", str(self.plan))
            self.run_before = site.last_run()
            self.words = (verb, str(self.run_before))
        if verb == "verify":
            self.words = (*self.words, "--format", "json")
            self._answer = [site.run(*self.words).out]
            self._ledger = self._whole_ledger()

    def start(self) -> Process:
        """The verb as a process."""
        return self.site.start(*self.words)

    def run_again(self) -> Ended:
        """The same command, which has to come to its end."""
        ended = self.site.run(*self.words)
        self._answer.append(ended.out)
        return ended

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
        return self.site.rows(
            "SELECT c.relname, query_to_xml(format('SELECT * FROM cleanup.%I AS t ORDER BY t::text', c.relname),"
            " true, false, '')::text FROM pg_class AS c"
            " WHERE c.relnamespace = 'cleanup'::regnamespace AND c.relkind = 'r' ORDER BY 1"
        )
