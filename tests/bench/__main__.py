"""`make bench`: every figure in one run on one embedded server, alternating, medians.

ROWS (default 1,000,000), ROUNDS (3) and OUT (bench.json) are read from the environment; so is BASE, the OUT of a
smaller run, with which time per row and memory are compared. The server keeps its files where CLEANUP_SERVER_DIRECTORY
says, else on the memory file system where they fit.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TextIO

import psycopg

from cleanup.config import Pace
from cleanup.demo.server import Server
from cleanup.links.policy import load_policy
from cleanup.links.prefilter_patterns import policy_roots
from cleanup.resources import config_directory
from tests.bench.authors import Latency, bystanders, felt_during
from tests.bench.measuring import Measured, Meter
from tests.bench.ours import FULL_PACE, Ours
from tests.bench.policies import policy_with_hosts
from tests.bench.posts import load_posts, tidy
from tests.bench.rivals import Rivals
from tests.bench.table import Figure, table, work_table

POLICY: Final = "policy-xiaohongshu-2021.toml"
SETTINGS: Final = {
    "shared_buffers": "1GB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "full_page_writes": "off",
}
_MIB: Final = 1 << 20
# For how long authors are watched while nothing else runs, before the job and after it.
_REST_SECONDS: Final = 15
_BYTES_PER_ROW: Final = 6_000


def say(line: str, where: TextIO) -> None:
    """One line, at once."""
    where.write(line + "\n")
    where.flush()


class Bench:
    """One server, one table, every piece of work in turn."""

    def __init__(self, server: Server, folder: Path, rows: int) -> None:
        self.dsn = server.dsn()
        self.rows = rows
        self.meter = Meter(self.dsn, server.pid)
        self.ours = Ours(folder, self.dsn)
        self._pgbench = server.program("pgbench")
        self.rivals = Rivals(server, self.dsn, policy_roots(load_policy(config_directory() / POLICY)))
        self.config = self.ours.configure("cleanup.toml", policy=POLICY)
        self.full = self.ours.configure("full.toml", policy=POLICY, pace=FULL_PACE)
        self.empty = self.ours.configure("empty.toml", policy=POLICY, table="nothing")
        self.taken: dict[str, list[Measured]] = defaultdict(list)
        self.log_bytes: list[float] = []
        self.ledger_bytes: list[float] = []
        self.trigger_bytes = 0

    def note(self, name: str, work: Callable[[], object]) -> None:
        """Measure one piece of work and keep it under its name."""
        measured = self.meter.measure(work)
        self.taken[name].append(measured)
        say(f"  {name:28s} {measured.seconds:8.2f} s", sys.stderr)

    def round(self) -> None:
        """Everything once, with the table as it was at the end."""
        self.note("copy floor", self.rivals.floor)
        self.note("copy floor, key and texts alone", self.rivals.floor_of_texts)
        self.note("filter in the server", self.rivals.filter_in_server)
        self.note("UPDATE, five patterns", self.rivals.update_five)
        self._tidy()
        self.note("UPDATE, policy's hosts", self.rivals.update_hosts)
        self._tidy()
        self.note("start, nothing to plan", lambda: self.ours.plan(self.empty, 2))
        for lanes in (1, 2):
            self._apply_and_back(lanes)

    def _apply_and_back(self, lanes: int) -> None:
        plans: list[int] = []
        runs: list[int] = []
        self.note(f"plan, {lanes} lanes", lambda: plans.append(self.ours.plan(self.full, lanes)))
        self.ours.approve(self.full, plans[0])
        self.note(f"apply, {lanes} lanes", lambda: runs.append(self.ours.apply(self.full, plans[0], lanes)))
        self._sizes(plans[0], runs[0])
        self.note("verify", lambda: self.ours.verify(self.full, runs[0]))
        self.note(f"rollback, {lanes} lanes", lambda: self.ours.roll_back(self.full, runs[0], lanes))
        self._tidy()

    def _sizes(self, plan: int, run: int) -> None:
        rows = int(self.ours.value("SELECT sum(log_rows) FROM cleanup.batch WHERE run_id = %s", run))
        log = self.ours.size(f"^change_log_{run}$")
        findings = self.ours.size(f"^finding_{plan}$")
        batches = int(self.ours.value("SELECT count(*) * 400 FROM cleanup.batch WHERE run_id = %s", run))
        self.log_bytes.append(log / rows)
        self.ledger_bytes.append((log + findings + batches) / rows)

    def _tidy(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            tidy(connection)

    def authors(self, rounds: int) -> dict[str, Latency]:
        """What authors feel beside nothing, mere computing, the job at its default pace, and the one statement."""
        felt: dict[str, list[list[float]]] = defaultdict(list)
        for _ in range(rounds):
            for work, taken in self._authors_round():
                felt[work].append(taken)
        return {work: Latency.of(taken) for work, taken in felt.items()}

    def _authors_round(self) -> Iterator[tuple[str, list[float]]]:
        plan = self.ours.plan(self.full, 2)
        self.ours.approve(self.full, plan)
        runs: list[int] = []
        before = self._felt(lambda: time.sleep(_REST_SECONDS))
        with bystanders(2):
            yield "two processes that only compute", self._felt(lambda: time.sleep(_REST_SECONDS))
        yield "apply", self._felt(lambda: runs.append(self.ours.apply(self.config, plan, Pace().lanes)))
        yield "nothing", before + self._felt(lambda: time.sleep(_REST_SECONDS))
        self.ours.roll_back(self.full, runs[0], 2)
        self._tidy()
        yield "UPDATE, five patterns", self._felt(self.rivals.update_five)
        self._tidy()

    def _felt(self, work: Callable[[], object]) -> list[float]:
        return felt_during(self._pgbench, self.dsn, self.rows, work)

    def hosts(self, folder: Path) -> tuple[float, float]:
        """Seconds of a plan with a policy of ten hosts and with one of a thousand, patterns warm."""
        configs = [
            self.ours.configure(f"hosts-{hosts}.toml", policy=policy_with_hosts(folder, POLICY, hosts))
            for hosts in (10, 1_000)
        ]
        for config in configs:
            self.ours.plan(config, 2)
        taken: list[list[float]] = [[], []]
        for _ in range(3):
            for place, config in enumerate(configs):
                taken[place].append(self.meter.measure(lambda config=config: self.ours.plan(config, 2)).seconds)  # type: ignore[misc]
        return statistics.median(taken[0]), statistics.median(taken[1])

    def seconds(self, name: str) -> float:
        """The median of a piece of work, without what starting the job's processes takes."""
        start = 0.0
        if name.startswith(("plan", "apply", "rollback", "verify")):
            start = statistics.median(one.seconds for one in self.taken["start, nothing to plan"])
        return statistics.median(one.seconds for one in self.taken[name]) - start

    def peak_mib(self) -> float:
        """The most memory that any lane had."""
        return max(one.lane_peak_bytes for taken in self.taken.values() for one in taken) / _MIB

    def job_microseconds_per_row(self) -> float:
        """Plan and apply, with two lanes."""
        return (self.seconds("plan, 2 lanes") + self.seconds("apply, 2 lanes")) / self.rows * 1e6


@dataclass(frozen=True, slots=True)
class Growth:
    """What is compared between a run and a smaller one."""

    rows: int
    job_microseconds_per_row: float
    peak_mib: float


def figures(bench: Bench, felt: dict[str, Latency], hosts: tuple[float, float], lock_target_ms: int) -> list[Figure]:
    """The figures that have goals."""
    s = bench.seconds
    five, by_hosts = s("UPDATE, five patterns"), s("UPDATE, policy's hosts")
    plan, apply = s("plan, 2 lanes"), s("apply, 2 lanes")
    start = statistics.median(one.seconds for one in bench.taken["start, nothing to plan"])
    return [
        Figure("plan, 2 lanes / copy floor", plan / s("copy floor"), 2.0, 1.5),
        Figure("plan + apply, 2 lanes / UPDATE with the policy's hosts", (plan + apply) / by_hosts, 0.3, 0.2),
        Figure("plan + apply, 2 lanes / UPDATE with five patterns", (plan + apply) / five, 0.8, 0.6),
        Figure("apply, 2 lanes, full pace / UPDATE with five patterns", apply / five, 0.25, 0.15),
        Figure("rollback, 2 lanes / apply", s("rollback, 2 lanes") / apply, 1.0, 0.8),
        Figure("change log / trigger log, bytes", statistics.median(bench.log_bytes) / bench.trigger_bytes, 0.15, 0.1),
        Figure("ledger / trigger log, bytes", statistics.median(bench.ledger_bytes) / bench.trigger_bytes, 0.35, 0.2),
        Figure("authors' p99 during apply / without", felt["apply"].p99 / felt["nothing"].p99, 2.0, 1.5),
        Figure("longest wait of an author, ms", felt["apply"].longest, lock_target_ms + 100, lock_target_ms),
        Figure("plan with 1,000 hosts / with 10", (hosts[1] - start) / (hosts[0] - start), 1.15, 1.05),
        Figure("peak memory of a lane, MiB", bench.peak_mib(), 150, 100),
    ]


def growth_figures(now: Growth, base: Growth) -> list[Figure]:
    """What must not grow with the table."""
    slope = now.job_microseconds_per_row / base.job_microseconds_per_row
    return [
        Figure(f"plan + apply a row, {now.rows:,} / {base.rows:,} posts", slope, 1.1, 1.0),
        Figure(f"peak memory, {now.rows:,} / {base.rows:,} posts", now.peak_mib / base.peak_mib, 1.1, 1.0),
    ]


def main() -> None:
    """Run it all and print the table; the raw figures go to a file."""
    rows, rounds = int(os.environ.get("ROWS", "1000000")), int(os.environ.get("ROUNDS", "3"))
    with (
        tempfile.TemporaryDirectory(prefix="cleanup-bench-") as name,
        Server.start(settings=SETTINGS, memory_bytes=rows * _BYTES_PER_ROW) as server,
    ):
        folder = Path(name)
        load_posts(server.dsn(), rows)
        bench = Bench(server, folder, rows)
        bench.ours.run("init")
        bench.trigger_bytes = bench.rivals.trigger_log_bytes()
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}", sys.stderr)
            bench.round()
        felt, hosts = bench.authors(rounds), bench.hosts(folder)
        found = figures(bench, felt, hosts, lock_target_ms=250)
        growth = Growth(rows, bench.job_microseconds_per_row(), bench.peak_mib())
        if base := os.environ.get("BASE"):
            earlier = Growth(**json.loads(Path(base).read_text(encoding="utf-8"))["growth"])
            found += growth_figures(growth, earlier)
        raw = {
            "growth": asdict(growth),
            "taken": {work: [asdict(one) for one in taken] for work, taken in bench.taken.items()},
            "authors": {work: asdict(latency) for work, latency in felt.items()},
            "hosts_seconds": hosts,
            "log_bytes_per_row": bench.log_bytes,
            "ledger_bytes_per_row": bench.ledger_bytes,
            "trigger_log_bytes_per_row": bench.trigger_bytes,
            "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in found],
        }
    Path(os.environ.get("OUT", "bench.json")).write_text(json.dumps(raw, indent=2), encoding="utf-8")
    start = bench.taken["start, nothing to plan"][0].seconds
    say(f"{rows:,} posts, {rounds} rounds, medians; starting the job takes {start:.2f} s", sys.stdout)
    say("\n".join([*table(found), "", *work_table(bench.taken), "", *_authors_table(felt)]), sys.stdout)


def _authors_table(felt: dict[str, Latency]) -> Iterator[str]:
    yield "| authors, while there runs | p99, ms | longest, ms |"
    yield "|---|---:|---:|"
    for work, latency in sorted(felt.items(), key=lambda one: one[1].p99):
        yield f"| {work} | {latency.p99:,.1f} | {latency.longest:,.1f} |"


if __name__ == "__main__":
    main()
