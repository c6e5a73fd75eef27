"""Whatever somebody changes in the evidence of a run, verify finds it and says which finding or batch it is."""

import re
from collections.abc import Iterator, Sequence

import pytest

from cleanup.db.batches import batch_rows
from cleanup.db.connection import open_connection
from cleanup.db.keys import spell_key
from cleanup.demo.server import Server
from cleanup.engine.chain import CHAIN_START, link, run_head
from cleanup.engine.log_chains import all_log_rows, digest_of
from cleanup.engine.log_walk import BatchWalk, walk_log
from tests.integration.jobs import Answer, Job, new_database, new_folder
from tests.integration.tampering import (
    CONFIG,
    EDITED,
    EDITED_LATER,
    GONE,
    HELD,
    columns_of,
    flipped,
    keep_evidence,
    make_runs,
    put_back,
)

# The first, a middle and the last row of a batch: its chain begins, goes on and ends there.
FIRST, MIDDLE, LAST = 10000007, 10000009, 10000012
NO_SUCH = 10000500
LOG_COLUMNS = (
    "finding_number", "pass", "leaf_number", "column_number", "outcome", "key", "created_at", "author",
    "hash_before", "hash_after", "salt", "edits", "chain", "logged_at",
)  # fmt: skip
BATCH_COLUMNS = (
    "pass", "after_number", "through_number", "chunk_number", "attempt", "lane", "findings", "outcomes",
    "span_outcomes", "edited", "log_rows", "head", "lock_ms", "written_at", "retries",
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(server: Server) -> Iterator[Job]:
    with new_database(server) as dsn, new_folder() as folder:
        job = Job(dsn, folder, CONFIG)
        make_runs(job)
        keep_evidence(job)
        yield job


@pytest.fixture
def job(runs: Job) -> Iterator[Job]:
    yield runs
    put_back(runs)


def problems(job: Job, run_id: int = 1) -> list[tuple[object, object]]:
    """What verify finds wrong with a run's log: finding number and message."""
    answer = job.call("verify", run_id, "--format", "json")
    found = answer.report["log_problems"]
    assert isinstance(found, list)
    assert (answer.status == 1) == (bool(found) or run_id == 2), "a log that is not whole is no success"
    assert_holds_no_text(answer)
    return [(problem["finding_number"], problem["what"]) for problem in found]


def assert_holds_no_text(answer: Answer) -> None:
    assert "taobao" not in answer.out + answer.err
    assert re.search("去|看|标题|评论", answer.out + answer.err) is None


def number_of(job: Job, identifier: int, column_number: int = 1) -> int:
    return job.number(
        "SELECT finding_number FROM cleanup.finding WHERE key = %s AND leaf_number = 1 AND column_number = %s",
        spell_key([str(identifier)]),
        column_number,
    )


def test_the_runs_have_what_there_is_to_tamper_with(job: Job) -> None:
    assert [problems(job, run_id) for run_id in (1, 2, 3)] == [[], [], []]
    assert {outcome for (outcome,) in job.execute("SELECT outcome FROM cleanup.outcome")} == {
        "already_clean", "row_gone", "conflict",
    }  # fmt: skip
    assert job.number("SELECT count(*) FROM cleanup.batch WHERE run_id = 1 AND pass = 0") > 10
    assert job.number("SELECT count(*) FROM cleanup.change_log WHERE run_id = 1 AND pass > 0") == 2
    batch = "SELECT count(*) FROM cleanup.batch WHERE run_id = 1 AND after_number = %s AND through_number = %s"
    assert job.number(batch, FIRST - 1, LAST) == 1
    nulls = "SELECT FROM cleanup.change_log WHERE created_at IS NULL OR author IS NULL OR key::json ->> 0 IS NULL"
    assert job.execute(nulls) == []


def test_every_column_is_covered(job: Job) -> None:
    assert {name for name, _ in columns_of(job.dsn, "change_log")} == {"run_id", *LOG_COLUMNS}
    assert {name for name, _ in columns_of(job.dsn, "batch")} == {"run_id", *BATCH_COLUMNS}


@pytest.mark.parametrize(
    ("column", "number"),
    [
        *((column, FIRST if column == "salt" else MIDDLE) for column in LOG_COLUMNS),
        *((column, number) for column in ("edits", "chain", "finding_number", "pass") for number in (FIRST, LAST)),
    ],
)
def test_one_bit_of_one_log_row(job: Job, column: str, number: int) -> None:
    kind = dict(columns_of(job.dsn, "change_log"))[column]
    job.tamper(
        f"UPDATE cleanup.change_log SET {column} = {flipped(column, kind)}"
        f" WHERE run_id = 1 AND finding_number = {number}",
    )
    ((found, what),) = problems(job)
    assert found == number
    expected = {
        "finding_number": "the log row was moved to finding number ",
        "pass": "the log row says pass 64, and is in no batch of that pass",
        "chain": "the chain value of the log row was changed",
    }
    assert str(what).startswith(expected.get(column, "the log row was changed"))
    if column in ("leaf_number", "column_number", "key", "created_at", "author"):
        assert str(what).endswith(f": another {column} than was planned")


def test_the_run_of_one_log_row(job: Job) -> None:
    # The one value that run 2 could not restore is not in run 3.
    number = number_of(job, EDITED_LATER)
    job.tamper("UPDATE cleanup.change_log SET run_id = run_id # 2 WHERE run_id = 1 AND finding_number = %s", number)
    assert problems(job, 1)[0] == (number, "the log row is missing")
    assert problems(job, 3) == [(number, "the log row was added: there is no such finding to change")]


def test_verify_says_where_the_value_stands(job: Job) -> None:
    job.tamper("UPDATE cleanup.change_log SET author = '99' WHERE run_id = 1 AND finding_number = %s", MIDDLE)
    key = job.number("SELECT (key::json ->> 0)::int FROM cleanup.finding WHERE finding_number = %s", MIDDLE)
    answer = job.done("verify", 1, status=1)
    assert f"    finding {MIDDLE} (public.note.body {key}): the log row was changed: another author" in answer.out
    assert "change log: NOT WHOLE, head " in answer.out
    assert_holds_no_text(answer)


@pytest.mark.parametrize(
    "numbers", [[FIRST], [MIDDLE], [LAST], [LAST - 1, LAST], [40000001], [FIRST, 40000010]], ids=str
)
def test_log_rows_that_were_deleted(job: Job, numbers: Sequence[int]) -> None:
    job.tamper("DELETE FROM cleanup.change_log WHERE run_id = 1 AND finding_number = ANY (%s)", list(numbers))
    behind = {number + 1 for number in numbers if number not in (LAST - 1, LAST, 40000010)}
    missing = [(number, "the log row is missing") for number in numbers]
    unproved = [(number, "the log row can not be proved without the one before it") for number in behind]
    assert problems(job) == sorted(missing + unproved)


def test_a_whole_log_that_was_deleted(job: Job) -> None:
    deleted = job.tamper("DELETE FROM cleanup.change_log WHERE run_id = 1 RETURNING finding_number")
    assert problems(job) == [(number, "the log row is missing") for (number,) in sorted(deleted, key=str)]


@pytest.mark.parametrize(
    ("one", "other"),
    [(MIDDLE, MIDDLE + 1), (FIRST, LAST), (MIDDLE, 20000004), (MIDDLE, 40000010)],
    ids=["neighbours", "of one batch", "of two batches", "of two tables"],
)
def test_two_log_rows_that_were_swapped(job: Job, one: int, other: int) -> None:
    swap = """UPDATE cleanup.change_log SET finding_number = CASE finding_number WHEN %s THEN -1 ELSE %s END
               WHERE run_id = 1 AND finding_number IN (%s, %s)"""
    job.tamper(swap, one, one, one, other)
    job.tamper("UPDATE cleanup.change_log SET finding_number = %s WHERE run_id = 1 AND finding_number = -1", other)
    assert problems(job) == [
        (one, f"the log row was swapped with that of finding {other}"),
        (other, f"the log row was swapped with that of finding {one}"),
    ]


def test_two_log_rows_whose_contents_were_swapped(job: Job) -> None:
    """The chain values stay in their order; everything else changes places."""
    columns = ", ".join(name for name in LOG_COLUMNS if name not in ("finding_number", "chain"))
    job.tamper(
        f"""UPDATE cleanup.change_log AS g SET ({columns}) = (
                SELECT {columns} FROM cleanup.change_log AS o
                 WHERE o.run_id = 1 AND o.finding_number = {FIRST + LAST} - g.finding_number)
             WHERE run_id = 1 AND finding_number IN ({FIRST}, {LAST})""",
    )
    assert problems(job) == [
        (FIRST, f"the log row was swapped with that of finding {LAST}"),
        (LAST, f"the log row was swapped with that of finding {FIRST}"),
    ]


def add_row(job: Job, number: int, like: int = MIDDLE) -> None:
    columns = ", ".join(name for name in LOG_COLUMNS if name != "finding_number")
    job.tamper(
        f"INSERT INTO cleanup.change_log (run_id, finding_number, {columns})"
        f" SELECT run_id, %s, {columns} FROM cleanup.change_log WHERE run_id = 1 AND finding_number = %s",
        number,
        like,
    )


@pytest.mark.parametrize("number", [1, NO_SUCH, 30000001, 90000001])
def test_a_log_row_that_was_added_where_no_batch_is(job: Job, number: int) -> None:
    add_row(job, number)
    ((found, what),) = problems(job)
    assert (found, str(what).partition(", and ")[2]) == (
        number, "is in no batch of that pass: it was added, or its batch is missing",
    )  # fmt: skip


def test_a_log_row_that_was_added_for_a_finding_that_was_not_changed(job: Job) -> None:
    number = number_of(job, EDITED)
    add_row(job, number)
    assert problems(job) == [(number, "the log row was added: it is both changed and already_clean")]


def test_a_log_row_that_was_added_with_a_chain_value_that_fits(job: Job) -> None:
    # Between two rows of a batch, as the conflict of run 2 stands between what it restored.
    number = number_of(job, EDITED_LATER)
    with open_connection(job.dsn, "test") as connection:
        rows = [row for row in all_log_rows(connection, 2) if row.finding_number < number]
    forged = link(rows[-1].chain, digest_of(rows[-1]))
    columns = ", ".join(name for name in LOG_COLUMNS if name not in ("finding_number", "chain"))
    job.tamper(
        f"INSERT INTO cleanup.change_log (run_id, finding_number, chain, {columns})"
        f" SELECT run_id, %s, %s, {columns} FROM cleanup.change_log WHERE run_id = 2 AND finding_number = %s",
        number,
        forged,
        rows[-1].finding_number,
    )
    assert problems(job, 2) == [(number, "the log row was added: it is both changed and conflict")]


@pytest.mark.parametrize(("identifier", "outcome"), [(EDITED, "already_clean"), (GONE, "row_gone")])
def test_an_outcome_that_was_changed_or_deleted(job: Job, identifier: int, outcome: str) -> None:
    number = number_of(job, identifier)
    where = "WHERE run_id = 1 AND finding_number = %s"
    job.tamper(f"UPDATE cleanup.outcome SET outcome = 'exempt_now' {where}", number)
    assert problems(job) == [(number, f"the outcome was changed: it was {outcome}, and says exempt_now")]
    put_back(job)
    job.tamper(f"DELETE FROM cleanup.outcome {where}", number)
    assert problems(job) == [(number, "the outcome is missing")]
    put_back(job)
    job.tamper(f"UPDATE cleanup.outcome SET pass = 2 {where}", number)
    ((found, what),) = problems(job)
    assert (found, str(what).partition(",")[0]) == (number, "the outcome says pass 2")
    put_back(job)
    job.tamper(f"UPDATE cleanup.outcome SET detail = 'none' {where}", number)
    ((found, what),) = problems(job)
    assert found is None
    assert "a detail of its outcomes" in str(what)


def test_an_outcome_that_was_added(job: Job) -> None:
    add = "INSERT INTO cleanup.outcome (run_id, finding_number, pass, outcome) VALUES (1, %s, 0, 'row_gone')"
    job.tamper(add, MIDDLE)
    assert problems(job) == [(MIDDLE, "the outcome was added: it is both changed and row_gone")]
    put_back(job)
    job.tamper(add, NO_SUCH)
    ((found, what),) = problems(job)
    assert (found, "in no batch" in str(what)) == (NO_SUCH, True)


def test_a_conflict_that_was_changed_deleted_or_added(job: Job) -> None:
    ((number, link_number, reason),) = job.execute("SELECT finding_number, link_number, reason FROM cleanup.conflict")
    place = f"the conflict at link {int(str(link_number)) + 1}"
    job.tamper("UPDATE cleanup.conflict SET reason = 'overwritten'")
    assert problems(job, 2) == [(number, f"{place} was changed: it was {reason}, and says overwritten")]
    put_back(job)
    job.tamper("DELETE FROM cleanup.conflict")
    assert problems(job, 2) == [(number, f"{place} is missing")]
    put_back(job)
    add = "INSERT INTO cleanup.conflict (run_id, finding_number, link_number, reason) VALUES (2, %s, %s, 'overwritten')"
    job.tamper(add, number, 7)
    assert problems(job, 2) == [(number, "the conflict at link 8 was added")]
    put_back(job)
    job.tamper(add, NO_SUCH, 0)
    assert problems(job, 2) == [(NO_SUCH, "the conflict at link 1 was added: no batch settled the finding")]


def test_a_deferral_that_was_deleted_or_added(job: Job) -> None:
    numbers = sorted([number_of(job, HELD, 0), number_of(job, HELD, 1)])
    job.tamper("DELETE FROM cleanup.deferral WHERE run_id = 1 AND finding_number = %s", numbers[0])
    assert problems(job) == [(numbers[0], "the deferral to pass 1 is missing")]
    put_back(job)
    job.tamper("INSERT INTO cleanup.deferral (run_id, pass, finding_number) VALUES (1, 5, %s)", MIDDLE)
    assert problems(job) == [(MIDDLE, "the deferral to pass 5 was added: no batch of the pass before put it off")]


@pytest.mark.parametrize("column", BATCH_COLUMNS)
def test_one_bit_of_one_batch(job: Job, column: str) -> None:
    kind = dict(columns_of(job.dsn, "batch"))[column]
    job.tamper(
        f"UPDATE cleanup.batch SET {column} = {flipped(column, kind)}"
        f" WHERE run_id = 1 AND pass = 0 AND after_number = {FIRST - 1}",
    )
    found = " | ".join(str(what) for _, what in problems(job))
    if column in ("lock_ms", "written_at", "retries"):
        assert found == "the head of the run does not fit its batches: one was changed, added or taken away"
    elif column in ("pass", "after_number"):
        # It is another one now.
        assert f"the batch of pass 0 after finding {FIRST - 1} is missing" in found
    elif column == "through_number":
        assert f"the batch of pass 0 after finding {LAST} overlaps the one before it" in found
    else:
        assert f"the batch of pass 0 after finding {FIRST - 1} " in found


@pytest.mark.parametrize("offset", [0, 1, 11], ids=["first", "second", "last"])
@pytest.mark.parametrize("with_rows", [False, True], ids=["alone", "with its rows"])
def test_a_batch_that_was_deleted(job: Job, offset: int, *, with_rows: bool) -> None:
    ((after, through),) = job.tamper(
        """DELETE FROM cleanup.batch WHERE run_id = 1 AND pass = 0 AND after_number =
               (SELECT after_number FROM cleanup.batch WHERE run_id = 1 AND pass = 0 ORDER BY 1 OFFSET %s LIMIT 1)
           RETURNING after_number, through_number""",
        offset,
    )
    if with_rows:
        delete = "DELETE FROM cleanup.change_log WHERE run_id = 1 AND finding_number > %s AND finding_number <= %s"
        job.tamper(delete, after, through)
    found = problems(job)
    assert (None, f"the batch of pass 0 after finding {after} is missing") in found
    assert {number for number, _ in found} - {None} == (
        set() if with_rows else set(range(int(str(after)) + 1, int(str(through)) + 1))
    )


def test_a_batch_that_was_added(job: Job) -> None:
    columns = ", ".join(BATCH_COLUMNS[3:])
    job.tamper(
        f"INSERT INTO cleanup.batch (run_id, pass, after_number, through_number, {columns})"
        f" SELECT run_id, pass, through_number - 2, through_number - 1, {columns}"
        f" FROM cleanup.batch WHERE run_id = 1 AND pass = 0 AND after_number = {FIRST - 1}",
    )
    found = [what for _, what in problems(job)]
    assert f"the batch of pass 0 after finding {LAST - 2} overlaps the one before it" in found


def test_a_head_that_was_changed(job: Job) -> None:
    job.tamper(f"UPDATE cleanup.run SET log_head = {flipped('log_head', 'bytea')} WHERE run_id = 1")
    assert problems(job) == [(None, "the head of the run was changed: the event of its end recorded another one")]


def test_a_planned_number_that_was_changed(job: Job) -> None:
    job.tamper("UPDATE cleanup.run SET planned = planned + 1 WHERE run_id = 1")
    assert problems(job) == [(None, "the batches of the run settled 70 findings instead of 71")]


@pytest.mark.parametrize(
    "assignment",
    [
        "created_at = 'infinity'",
        "logged_at = '-infinity'",
        "created_at = '20000-01-01'",
        "key = '[[1],[2]]'",
        "key = '[\"not a number\"]'",
        "key = '[]'",
        "key = '[null]'",
        "key = 'no JSON'",
        "leaf_number = -1, column_number = 99",
        "edits = 'no JSON'",
        "hash_before = '', hash_after = '', salt = ''",
        "author = 'nobody', chain = ''",
    ],
)
def test_nonsense_is_named_and_stops_nothing(job: Job, assignment: str) -> None:
    job.tamper(f"UPDATE cleanup.change_log SET {assignment} WHERE run_id = 1 AND finding_number = {MIDDLE}")
    (number, what), *behind = problems(job)
    assert (number, str(what).partition(":")[0]) == (MIDDLE, "the log row was changed")
    unproved = [(MIDDLE + 1, "the log row can not be proved without the one before it")]
    assert behind == (unproved if "chain" in assignment else [])
    report = job.call("verify", 1, "--format", "json").report
    # What the others of its batch say can not be relied on either.
    assert report["values"] == {"as_written": 61, "changed_since": 1, "not_proved": 6}


def test_several_at_once_are_all_named(job: Job) -> None:
    where = "WHERE run_id = 1 AND finding_number ="
    job.tamper(f"UPDATE cleanup.change_log SET salt = '\\x00' {where} {FIRST}")
    job.tamper(f"DELETE FROM cleanup.change_log {where} {MIDDLE}")
    job.tamper(f"UPDATE cleanup.change_log SET edits = '[]' {where} 20000003")
    job.tamper(f"UPDATE cleanup.change_log SET author = NULL {where} 40000002")
    add_row(job, NO_SUCH, 40000005)
    assert [number for number, _ in problems(job)] == [FIRST, MIDDLE, MIDDLE + 1, NO_SUCH, 20000003, 40000002]
    assert problems(job, 2) == problems(job, 3) == []


def test_who_owns_the_database_can_make_the_log_agree_and_only_a_head_kept_elsewhere_tells(job: Job) -> None:
    """What the chain does not prove, and why heads leave the database."""
    before = job.execute("SELECT encode(log_head, 'hex') FROM cleanup.run WHERE run_id = 1")
    job.tamper("UPDATE cleanup.change_log SET edits = '[]' WHERE run_id = 1 AND finding_number = %s", MIDDLE)
    assert problems(job) != []
    recompute(job)
    assert problems(job) == []
    after = job.execute("SELECT encode(log_head, 'hex') FROM cleanup.run WHERE run_id = 1")
    assert before != after


def recompute(job: Job) -> None:
    """What a forger does who has read our code."""
    with open_connection(job.dsn, "forger") as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        rows = list(all_log_rows(connection, 1))
        for batch in batch_rows(connection, 1):
            chain = CHAIN_START
            for row in rows:
                if row.run_pass == batch.run_pass and batch.after_number < row.finding_number <= batch.through_number:
                    chain = link(chain, digest_of(row))
                    connection.execute(
                        "UPDATE cleanup.change_log SET chain = %s WHERE run_id = 1 AND finding_number = %s",
                        (chain, row.finding_number),
                    )
        walks = [found for found in walk_log(connection, 1, batch_rows(connection, 1)) if isinstance(found, BatchWalk)]
        for walk in walks:
            connection.execute(
                "UPDATE cleanup.batch SET head = %s WHERE run_id = 1 AND pass = %s AND after_number = %s",
                (
                    walk.sealed(walk.rows_hash, walk.unchanged, walk.conflicts),
                    walk.batch.run_pass,
                    walk.batch.after_number,
                ),
            )
        head = run_head(batch_rows(connection, 1))
        connection.execute("UPDATE cleanup.run SET log_head = %s WHERE run_id = 1", (head,))
        connection.execute(
            "UPDATE cleanup.event SET detail = detail || jsonb_build_object('log_head', %s::text)"
            " WHERE run_id = 1 AND detail ? 'log_head'",
            (head.hex(),),
        )
