"""Archives: each form gives a purged log back byte for byte, proves itself, and is refused where one bit differs."""

import csv
import hashlib
import json
import re
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
import pytest

from cleanup.demo.server import Server
from cleanup.engine.archive_folder import NewArchive
from cleanup.engine.archive_formats import FILE_NAMES
from cleanup.engine.archive_rows import COLUMNS
from cleanup.engine.archive_text import guarded, unguarded
from tests.integration.jobs import LINK, POLICY, REPOSITORY, Job, new_database, new_folder

FORMATS: Final = ("jsonl", "csv", "parquet")
each_format = pytest.mark.parametrize("form", FORMATS)

CONFIG: Final = f"""
policy = "{POLICY}"
[[table]]
name = "public.post"
created_at = "created_at"
author = "author"
undated = "include"
columns = {{ title = "text", body = "text" }}
[pace]
lanes = 1
chunk_rows = 5
batch_rows_max = 3
"""
SCHEMA: Final = """
CREATE TABLE post (slug text COLLATE "C" PRIMARY KEY, created_at timestamptz, author text, title text, body text);
CREATE TABLE original (LIKE post);
"""
# What a file format, a shell or a spreadsheet may trip over, beside a link, in it and as key and author.
TRAPS: Final = (
    "plain",
    "said \"so\", and 'so'",
    "two\nlines\r\nand a\rhalf\ttab",
    "🧑‍🌾 emoji 🇨🇳",
    "\u202eRTL \u05e9\u05dc\u05d5\u05dd\u202c",
    '=HYPERLINK("http://evil.example";"x")',
    "+1;=1+1",
    "-1",
    "@SUM(A1)",
    "＝１＋１",
    "'quoted",
    "back\\slash \\x3b \\n",
    "\x01\x1f\x7f\u2028\ufeff",
    "%s %(x)s {0} ${HOME} `id`",
    "x" * 10_000 + "末",
)


def create(job: Job) -> None:
    """Posts of every trap, one with no author, no date and two links; more posts, to make some batches."""
    job.execute(SCHEMA)
    for place, trap in enumerate(TRAPS):
        job.execute(
            "INSERT INTO post VALUES (%s, '2020-02-03 04:05:06.789012+08', %s, %s, %s)",
            trap[:200], trap, f"{trap} {LINK}{place} {trap}", f"{LINK}{place}?q={trap}\n{trap} {LINK}9{place}{trap}",
        )  # fmt: skip
    job.execute("INSERT INTO post VALUES ('', NULL, '', %s, %s)", LINK, LINK)
    job.execute("INSERT INTO post VALUES (' ', '2021-01-01', NULL, %s, 'nothing')", LINK)
    job.execute("INSERT INTO original TABLE post")


CHANGED: Final = "SELECT slug FROM post EXCEPT SELECT slug FROM (TABLE post INTERSECT TABLE original) AS same"
LOG: Final = "SELECT * FROM cleanup.change_log WHERE run_id = 1 ORDER BY finding_number"


@pytest.fixture
def job(server: Server) -> Iterator[Job]:
    """One run that has changed every post."""
    with new_database(server) as dsn, new_folder() as folder:
        yield applied_job(dsn, folder)


@pytest.fixture(scope="module")
def shared(server: Server) -> Iterator[Job]:
    """The same for all tests that leave posts and log as they were."""
    with new_database(server) as dsn, new_folder() as folder:
        yield applied_job(dsn, folder)


def applied_job(dsn: str, folder: Path) -> Job:
    """Posts, plan, run 1."""
    job = Job(dsn, folder, CONFIG)
    create(job)
    job.done("init")
    job.apply(job.plan())
    return job


def export(job: Job, folder: str, form: str) -> Path:
    """An archive of run 1 in the job's folder."""
    job.done("log", 1, "--export", folder, "--format", form)
    return job.folder / folder


def purge(job: Job) -> None:
    """Purge run 1 before its date."""
    job.done("purge", 1, "--force", "--reason", "the test says so")


@each_format
def test_the_rollback_of_a_purged_run_restores_byte_for_byte(job: Job, form: str) -> None:
    log = job.execute(LOG)
    assert len(job.execute(CHANGED)) == len(log) // 2 + 1 == len(TRAPS) + 2
    export(job, "archive", form)
    purge(job)
    assert job.execute("SELECT to_regclass('cleanup.change_log_1'), to_regclass('cleanup.finding_1')") == [(None, None)]
    refused = job.done("rollback", 1, status=1)
    assert refused.codes == ["CLN-114"]
    assert "--archive" in refused.err

    rollback = job.done("rollback", 1, "--archive", "archive", "--format", "json")
    assert rollback.number("log_rows") == len(log)
    assert job.execute(CHANGED) == []
    assert job.execute(LOG) == log
    job.verify(rollback)


@each_format
def test_a_log_comes_back_as_it_was_and_can_be_purged_again(shared: Job, form: str) -> None:
    log = shared.execute(LOG)
    export(shared, f"again-{form}", form)
    for _ in range(2):
        purge(shared)
        assert shared.execute(LOG) == []
        shared.done("log", 1, "--restore", f"again-{form}")
        assert shared.execute(LOG) == log
        before = shared.checksums()
        assert "nothing to do" in shared.done("log", 1, "--restore", f"again-{form}").out
        assert shared.checksums() == before
    assert shared.number(
        "SELECT count(*) FROM cleanup.restoration AS s JOIN cleanup.purge AS p USING (purge_id)"
        " JOIN cleanup.export AS e USING (export_id) WHERE e.format = %s AND s.log_rows = %s",
        form, len(log),
    ) == 2  # fmt: skip


def test_the_files_are_private_and_hashed_and_the_ledger_knows_them(shared: Job) -> None:
    archive = export(shared, "private", "csv")
    assert stat.S_IMODE(archive.stat().st_mode) == 0o700
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in archive.iterdir()} == {
        "log.csv": 0o600, "heads.jsonl": 0o600, "manifest.json": 0o600,
    }  # fmt: skip
    stored = (archive / "manifest.json").read_bytes()
    manifest = json.loads(stored)
    for entry in manifest["files"]:
        content = (archive / entry["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    rows = shared.number("SELECT count(*) FROM cleanup.change_log")
    assert shared.execute("SELECT run_id, format, sha256, log_rows FROM cleanup.export WHERE place = %s",
                          f"{socket.gethostname()}:{archive.resolve()}") == [
        (1, "csv", hashlib.sha256(stored).digest(), rows)
    ]  # fmt: skip
    [(head, state, planned)] = shared.execute("SELECT encode(log_head, 'hex'), state, planned FROM cleanup.run")
    assert manifest["log_rows"] == rows
    assert manifest["batches"] == shared.number("SELECT count(*) FROM cleanup.batch")
    assert (manifest["run"]["log_head"], manifest["run"]["state"], manifest["run"]["planned"]) == (head, state, planned)


@each_format
def test_every_column_of_the_log_is_in_the_file(shared: Job, form: str) -> None:
    """Read by other means than our own: what a reader's tools see is what the ledger has."""
    archive = export(shared, f"columns-{form}", form)
    rows = READERS[form](archive / f"log.{form}")
    stored = shared.execute(
        "SELECT run_id, pass, finding_number, g.leaf_number, l.table_name, l.leaf_name, g.column_number, c.column_name,"
        " outcome, key, created_at, author, hash_before, hash_after, salt, edits, chain, logged_at"
        " FROM cleanup.change_log AS g JOIN cleanup.plan_leaf AS l ON l.plan_id = 1 AND l.leaf_number = g.leaf_number"
        " JOIN cleanup.plan_column AS c ON c.plan_id = 1 AND c.column_number = g.column_number ORDER BY finding_number"
    )
    keyed = [(*row[:9], json.loads(str(row[9])), *row[10:]) for row in stored]
    assert rows == [tuple(_shape(form, value) for value in row) for row in keyed]


def _shape(form: str, value: object) -> object:
    if form == "parquet":
        return value
    if isinstance(value, bytes):
        value = value.hex()
    elif isinstance(value, datetime):
        value = value.astimezone(UTC).isoformat(timespec="microseconds")
    if form == "jsonl":
        return value
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")) if isinstance(value, list) else value
    return guarded(None if text is None else str(text))


def _read_jsonl(file: Path) -> list[tuple[object, ...]]:
    lines = file.read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    return [tuple(json.loads(line)[column.name] for column in COLUMNS) for line in lines]


def _read_csv(file: Path) -> list[tuple[object, ...]]:
    with file.open(encoding="utf-8", newline="") as content:
        head, *rows = csv.reader(content, strict=True)
    assert head == [column.name for column in COLUMNS]
    return [tuple(row) for row in rows]


def _read_parquet(file: Path) -> list[tuple[object, ...]]:
    table = pq.read_table(file)
    assert table.column_names == [column.name for column in COLUMNS]
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


READERS: Final[dict[str, Callable[[Path], list[tuple[object, ...]]]]] = {
    "jsonl": _read_jsonl,
    "csv": _read_csv,
    "parquet": _read_parquet,
}


def test_no_cell_of_a_csv_is_a_formula_or_more_than_one_line(shared: Job) -> None:
    archive = export(shared, "spreadsheet", "csv")
    rows = _read_csv(archive / "log.csv")
    cells = [str(cell) for row in rows for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))]
    assert not [cell for cell in cells if set(cell) & set("\t\r\n;")]
    assert len((archive / "log.csv").read_bytes().splitlines()) == len(rows) + 1
    assert guarded('=HYPERLINK("http://evil.example";"x")') in {row[11] for row in rows}


@pytest.mark.parametrize("text", [None, "", "'", "''", "\\", "\\x3b", "'=1", *TRAPS])
def test_a_guarded_cell_comes_back(text: str | None) -> None:
    assert unguarded(guarded(text)) == text


# ------------------------------------------------------------------------------------- what is refused


@pytest.fixture(scope="module")
def purged(server: Server) -> Iterator[tuple[Job, dict[str, Path]]]:
    """A purged run, with an archive of each form."""
    with new_database(server) as dsn, new_folder() as folder:
        job = applied_job(dsn, folder)
        archives = {form: export(job, form, form) for form in FORMATS}
        purge(job)
        yield job, archives


def require_refused(job: Job, archive: Path, *said: str, code: str = "CLN-117") -> None:
    """The archive is refused in one message, and nothing is written."""
    before = job.checksums()
    answer = job.done("log", 1, "--restore", str(archive), status=1)
    assert answer.codes == [code], answer.err
    assert all(part in answer.err for part in said), answer.err
    assert "HINT: " in answer.err
    assert job.checksums() == before


@each_format
@pytest.mark.parametrize("name", ["log", "heads.jsonl", "manifest.json"])
def test_one_bit_changed_in_any_file_is_refused(
    purged: tuple[Job, dict[str, Path]], tmp_path: Path, form: str, name: str
) -> None:
    job, archives = purged
    copy = Path(shutil.copytree(archives[form], tmp_path / "copy"))
    file = copy / (f"log.{form}" if name == "log" else name)
    intact = file.read_bytes()
    # At the beginning, at the end, and here and there in between.
    for place in (0, len(intact) // 3, len(intact) * 2 // 3, len(intact) - 1):
        altered = bytearray(intact)
        altered[place] ^= 1
        file.write_bytes(bytes(altered))
        require_refused(job, copy, file.name)


@each_format
def test_a_truncated_or_incomplete_archive_is_refused(
    purged: tuple[Job, dict[str, Path]], tmp_path: Path, form: str
) -> None:
    job, archives = purged
    copy = Path(shutil.copytree(archives[form], tmp_path / "copy"))
    for name in (f"log.{form}", "heads.jsonl", "manifest.json"):
        intact = (copy / name).read_bytes()
        (copy / name).write_bytes(intact[:-1])
        require_refused(job, copy, name)
        (copy / name).unlink()
        require_refused(job, copy, name)
        (copy / name).write_bytes(intact)
    require_refused(job, tmp_path / "nothing", "manifest.json")


def test_rows_that_were_altered_together_with_their_manifest_are_refused(
    purged: tuple[Job, dict[str, Path]], tmp_path: Path
) -> None:
    """Somebody who can make the files fit each other still has the ledger against him."""
    job, archives = purged
    copy = Path(shutil.copytree(archives["jsonl"], tmp_path / "copy"))
    altered = (copy / "log.jsonl").read_bytes().replace(b"https://item", b"https://evil")
    _replace_log(copy, altered)
    require_refused(job, copy, "none that this ledger has recorded")


@pytest.mark.parametrize("harm", ["altered", "deleted", "swapped", "added"])
def test_rows_that_do_not_lead_to_the_head_are_refused_whatever_the_ledger_says_of_the_files(
    purged: tuple[Job, dict[str, Path]], tmp_path: Path, harm: str
) -> None:
    job, archives = purged
    copy = Path(shutil.copytree(archives["jsonl"], tmp_path / "copy"))
    lines = (copy / "log.jsonl").read_bytes().splitlines(keepends=True)
    match harm:
        case "altered":
            lines[4] = lines[4].replace(b'"author":"', b'"author":"x', 1)
        case "deleted":
            del lines[-1]
        case "swapped":
            lines[0], lines[1] = lines[1], lines[0]
        case _:
            lines.append(lines[-1].replace(b'"finding":', b'"finding":9', 1))
    sha256 = _replace_log(copy, b"".join(lines))
    job.execute(
        "INSERT INTO cleanup.export (run_id, place, format, sha256, log_rows) VALUES (1, 'x', 'jsonl', %s, 1)", sha256
    )
    require_refused(job, copy)


def _replace_log(archive: Path, content: bytes) -> bytes:
    """Put other rows in an archive, and make its manifest fit; return the manifest's hash."""
    (archive / "log.jsonl").write_bytes(content)
    manifest = json.loads((archive / "manifest.json").read_bytes())
    [entry] = [entry for entry in manifest["files"] if entry["name"] == "log.jsonl"]
    entry |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    stored = json.dumps(manifest).encode()
    (archive / "manifest.json").write_bytes(stored)
    return hashlib.sha256(stored).digest()


def test_an_archive_of_another_run_or_database_is_refused(purged: tuple[Job, dict[str, Path]], shared: Job) -> None:
    job, _ = purged
    require_refused(job, export(shared, "foreign", "jsonl"), "none that this ledger has recorded")
    job.execute("UPDATE post SET body = %s WHERE slug = ' '", LINK)
    try:
        job.apply(job.plan("--since", 1))
        job.done("log", 2, "--export", "second")
        require_refused(job, job.folder / "second", "is of run 2 of database")
    finally:
        job.execute("DELETE FROM post WHERE slug = ' '")


# ------------------------------------------------------------------------------------- exporting


def test_a_folder_that_is_in_use_is_refused(shared: Job, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for folder in (full, export(shared, "once", "jsonl"), tmp_path / "file", tmp_path / "no" / "parent"):
        before = sorted(folder.iterdir()) if folder.is_dir() else None
        answer = shared.done("log", 1, "--export", str(folder), status=2)
        assert answer.codes == ["CLN-205"], answer.err
        assert (sorted(folder.iterdir()) if folder.is_dir() else None) == before
    assert shared.number("SELECT count(*) FROM cleanup.export WHERE place LIKE '%%full'") == 0


def test_an_empty_folder_is_taken_and_a_killed_export_replaced(shared: Job, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    shared.done("log", 1, "--export", str(empty))
    # What a kill leaves: files, some of them half written, and no manifest under its name.
    (empty / "manifest.json").rename(empty / "manifest.json.partial")
    (empty / "log.csv.partial").write_text("half a lin", encoding="utf-8")
    shared.done("log", 1, "--export", str(empty), "--format", "csv")
    assert sorted(file.name for file in empty.iterdir()) == ["heads.jsonl", "log.csv", "manifest.json"]


def test_two_exports_do_not_write_into_one_folder(shared: Job, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with NewArchive(folder, FILE_NAMES).open():
        (folder / "log.jsonl.partial").write_bytes(b"ours")
        refused = shared.done("log", 1, "--export", str(folder), status=2)
        assert "another export writes there" in refused.err
        assert (folder / "log.jsonl.partial").read_bytes() == b"ours"


def test_an_export_that_fails_leaves_nothing_behind(job: Job, tmp_path: Path) -> None:
    job.tamper("UPDATE cleanup.change_log SET author = 'nobody' WHERE finding_number = 20000003")
    refused = job.done("log", 1, "--export", str(tmp_path / "new"), status=1)
    assert refused.codes == ["CLN-118"]
    assert "finding 20000003" in refused.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("words", ["--format parquet", "--export a --changed-keys", "--export a --restore b"], ids=str)
def test_options_that_do_not_go_together_are_refused(shared: Job, words: str) -> None:
    assert shared.done("log", 1, *words.split(), status=2).codes == ["CLN-204"]


def test_parquet_without_its_library_is_an_error_with_a_way_out(
    shared: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    answer = shared.done("log", 1, "--export", str(tmp_path / "new"), "--format", "parquet", status=2)
    assert answer.codes == ["CLN-206"]
    assert "post-link-cleanup[parquet]" in answer.err
    assert not (tmp_path / "new").exists()
    shared.done("log", 1, "--export", str(tmp_path / "new"))


# ------------------------------------------------------------------------------------- plain output


def test_the_changed_rows_are_named_once_each_and_without_texts(shared: Job) -> None:
    said = shared.done("log", 1, "--changed-keys").out
    changed = shared.execute(
        "SELECT DISTINCT ON (key) key::jsonb, author FROM cleanup.change_log ORDER BY key, finding_number"
    )
    records = [json.loads(line) for line in said.split("\n")[:-1]]
    assert sorted((record["key"], record["author"]) for record in records if record["author"] is not None) == sorted(
        (key, author) for key, author in changed if author is not None
    )
    assert [record["key"] for record in records if record["author"] is None] == [[" "]]
    assert len(records) == len(TRAPS) + 2
    assert {record["table"] for record in records} == {"public.post"}
    table = list(
        csv.reader(shared.done("log", 1, "--changed-keys", "--format", "csv").out.split("\n")[:-1], strict=True)
    )
    assert table[0] == ["table", "key", "author"]
    assert [json.loads(unguarded(row[1]) or "") for row in table[1:]] == [record["key"] for record in records]
    assert [unguarded(row[2]) for row in table[1:]] == [record["author"] for record in records]


def test_the_plain_log_has_a_line_for_each_row(shared: Job) -> None:
    lines = shared.done("log", 1).out.split("\n")[:-1]
    assert len(lines) == shared.number("SELECT count(*) FROM cleanup.change_log WHERE run_id = 1")
    assert any(LINK in line for line in lines)
    table = list(csv.reader(shared.done("log", 1, "--format", "csv").out.split("\n")[:-1], strict=True))
    assert len(table) == len(lines) + 1
    assert [row[1] for row in table[1:]] == [str(json.loads(line)["finding"]) for line in lines]


def test_the_page_of_the_format_has_every_column() -> None:
    page = (REPOSITORY / "runbooks" / "archive-format.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)` \| (\w+) \|(.*)\|$", page, re.MULTILINE)
    assert [(name, kind, "may be NULL" in what) for name, kind, what in documented] == [
        (column.name, column.kind.value, column.optional) for column in COLUMNS
    ]


@pytest.mark.parametrize("text", [None, "", "'", "''", "\\", "\\x3b", "'=1", *TRAPS])
def test_the_pages_way_to_read_a_cell_is_right(text: str | None) -> None:
    page = (REPOSITORY / "runbooks" / "archive-format.md").read_text(encoding="utf-8")
    [source] = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Callable[[str], str | None]] = {}
    exec(source, names)  # noqa: S102 - the page's own words
    assert names["text_of"](guarded(text)) == text
