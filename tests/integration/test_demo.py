"""The demo shows every verb, gives every table back, and finds what anybody finds in the same posts."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import psycopg
import pytest

from cleanup.cli import VERBS
from cleanup.db.demo_posts import create_tables, load_rows
from cleanup.demo.posts import COLUMNS, generate_rows
from cleanup.resources import config_directory
from tests.integration.jobs import Job, subprocess_environment
from tests.plugins.servers import WHEEL_MAJOR

# So few that nothing waits for a person: the plan that is signed is the first one.
ROWS: Final = 300
SEED: Final = 20210802


@pytest.mark.parametrize("major", [WHEEL_MAJOR], ids=["pg18"], indirect=True)
def test_it_shows_every_verb_and_finds_the_same_at_every_run(database_dsn: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "cleanup", "demo", "--rows", str(ROWS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        encoding="utf-8",
        env={**os.environ, **subprocess_environment()},
    )
    assert ended.returncode == 0, ended.stdout
    assert set(re.findall(r"^\$ (?:echo .+ \| )?cleanup (\w+)", ended.stdout, re.MULTILINE)) == {*VERBS} - {"demo"}
    assert len(re.findall(r" the same$", ended.stdout, re.MULTILINE)) == len(COLUMNS)

    with psycopg.connect(database_dsn) as connection:
        create_tables(connection)
        for table, columns in COLUMNS.items():
            load_rows(connection, table, columns, generate_rows(table, ROWS, SEED))
    job = Job(database_dsn, tmp_path, (config_directory() / "demo.toml").read_text(encoding="utf-8"))
    job.done("init")
    assert f"findings digest {job.plan().report['findings_digest']}" in ended.stdout.splitlines()[-2]
