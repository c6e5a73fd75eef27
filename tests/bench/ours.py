"""The job itself, as processes of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

_CONFIG: Final = """policy = "{policy}"
[pace]
{pace}
[[table]]
name = "public.{table}"
created_at = "created_at"
author = "author_id"
exempt = "is_live"
columns = {{ title = "text", body = "text" }}
"""
FULL_PACE: Final = "lock_target_ms = 2_000\nbatch_rows_max = 20_000\nrest_percent = 0\nniceness = 0"
LEFT: Final = 1


@dataclass(frozen=True, slots=True)
class Ours:
    """The command on one database; `config` is a file of the bench's folder."""

    folder: Path
    dsn: str

    def configure(self, name: str, *, table: str = "note", policy: str, pace: str = "") -> str:
        """Write a config and give its name."""
        (self.folder / name).write_text(_CONFIG.format(policy=policy, table=table, pace=pace), encoding="utf-8")
        return name

    def run(self, *words: str | int, expect: int = 0) -> str:
        """One command, to its end."""
        ended = subprocess.run(
            [sys.executable, "-m", "cleanup", *map(str, words), "--dsn", self.dsn],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache"), "PYTHONDONTWRITEBYTECODE": ""},
        )
        if ended.returncode != expect:
            raise RuntimeError(f"{words}: exit {ended.returncode}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}")
        return ended.stdout

    def plan(self, config: str, lanes: int) -> int:
        """Make a plan; its number."""
        told = json.loads(self.run("plan", "--config", config, "--lanes", lanes, "--format", "json"))
        return int(told["plan_id"])

    def approve(self, config: str, plan: int) -> None:
        """Sign a plan."""
        digest = self.value("SELECT encode(digest, 'hex') FROM cleanup.plan WHERE plan_id = %s", plan)
        self.run("approve", plan, "--config", config, "--digest", digest, "--by", "bench", "--ticket", "B-1")

    def apply(self, config: str, plan: int, lanes: int) -> int:
        """Apply a signed plan; the run's number."""
        words = ("apply", plan, "--config", config, "--lanes", lanes, "--format", "json")
        # Some of the posts' links wait for a person, and are left.
        return int(json.loads(self.run(*words, expect=LEFT))["run_id"])

    def verify(self, config: str, run: int) -> None:
        """Prove a run; what waits for a person is left."""
        self.run("verify", run, "--config", config, expect=LEFT)

    def roll_back(self, config: str, run: int, lanes: int) -> None:
        """Undo a run."""
        self.run("rollback", run, "--config", config, "--lanes", lanes, "--format", "json")

    def value(self, query: str, *parameters: object) -> str:
        """What a query answers with."""
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute(query.encode(), parameters).fetchone()
        assert row is not None
        return str(row[0])

    def size(self, pattern: str) -> int:
        """The bytes of the ledger's tables with such names, indexes included."""
        return int(
            self.value(
                "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class"
                " WHERE relnamespace = 'cleanup'::regnamespace AND relkind = 'r' AND relname ~ %s",
                pattern,
            )
        )
