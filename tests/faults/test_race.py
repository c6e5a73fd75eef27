"""An author commits between our read and our write, at every point where the code can stand."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from cleanup.db.connection import open_connection, transaction
from cleanup.db.run_chunks import claim_run_chunk, release_run_chunk
from tests.faults.conftest import MakeSite, heavy
from tests.faults.jobs import Pace, Posts, Site, body_of, wait_for
from tests.faults.measuring import differing_rows, undisturbed
from tests.faults.stepping import Authors, Point, Stepping
from tests.plugins.fault_table import Faults, Measured

# Time enough to be held at a gate.
PATIENT = Pace(lanes=1, chunk_rows=1_000, batch_rows_max=1_000, lock_target_ms=10_000, lock_timeout_ms=60_000)
NOTE_LEAF, ARCHIVE_LEAF = 1, 2
MORE = " https://detail.tmall.com/item.htm?id=123456"
APPLY_ENDS_WITH_WORK_LEFT = 1
FAULT = "an author commits between our read and our write"


@dataclass(frozen=True, slots=True)
class Act:
    """What an author does to one row, and what has to come of it: where it came before our lock, and after.

    `before` and `after` are the row's text at the end; None where the row is not under its old key any more.
    """

    name: str
    statement: str
    outcome: str
    before: Callable[[Site, str], str | None]
    after: Callable[[Site, str], str | None]


def _author_text(statement_text: str) -> Callable[[Site, str], str]:
    return lambda _, original: statement_text.replace("{original}", original)


def _redacted_text(statement_text: str) -> Callable[[Site, str], str]:
    return lambda site, original: site.redacted(statement_text.replace("{original}", original))


def _on_top(more: str) -> Callable[[Site, str], str]:
    return lambda site, original: site.redacted(original) + more


def _original(site: Site, original: str) -> str:
    del site
    return original


def _original_and(more: str) -> Callable[[Site, str], str]:
    return lambda _, original: original + more


def _ours(site: Site, original: str) -> str:
    return site.redacted(original)


def _gone(site: Site, original: str) -> None:
    del site, original


REKEYED = 1_000_000
REWRITTEN = "重写了，链接还在 https://item.taobao.com/item.htm?id=42 ，就这样。"
EDITED = "changed_after_edit"
ACTS = (
    Act("rewrites", f"SET body = '{REWRITTEN}'", EDITED, _redacted_text(REWRITTEN), _author_text(REWRITTEN)),
    Act("appends", "SET body = body || '尾'", EDITED, _redacted_text("{original}尾"), _on_top("尾")),
    Act("adds a link", f"SET body = body || '{MORE}'", EDITED, _redacted_text(f"{{original}}{MORE}"), _on_top(MORE)),
    Act("writes the same", "SET body = body", "changed", _ours, _ours),
    Act("takes the link out", "SET body = '没有了'", "already_clean", _author_text("没有了"), _author_text("没有了")),
    Act("deletes", "DELETE", "row_gone", _gone, _gone),
    Act("re-keys", f"SET id = id + {REKEYED}", "row_gone", _gone, _gone),
)
NOTE_ACTS = (
    *ACTS,
    Act("goes live", "SET is_live = true", "exempt_now", _original, _ours),
    Act("dates later", "SET created_at = '2021-08-05'", "out_of_scope_now", _original, _ours),
)
ARCHIVE_ACTS = (*ACTS, Act("moves", "SET created_at = created_at + interval '40 days'", "row_gone", _gone, _gone))
TABLES = {NOTE_LEAF: ("note", NOTE_ACTS), ARCHIVE_LEAF: ("note_archive", ARCHIVE_ACTS)}


def _statement(table: str, number: int, what: str) -> str:
    head = f"DELETE FROM {table}" if what == "DELETE" else f"UPDATE {table} {what}"
    return f"{head} WHERE id = {number}"


def outcome_by_row(site: Site, run_id: int, leaf_number: int) -> dict[int, str]:
    found = site.rows(
        "SELECT (f.key::json ->> 0)::int, coalesce(l.outcome, o.outcome) FROM cleanup.run AS r"
        " JOIN cleanup.finding AS f ON f.plan_id = r.plan_id AND f.leaf_number = %s AND f.actionable"
        " JOIN cleanup.plan_column AS c ON c.plan_id = f.plan_id AND c.column_number = f.column_number"
        " AND c.column_name = 'body' AND c.table_name = (SELECT table_name FROM cleanup.plan_leaf AS p"
        " WHERE p.plan_id = f.plan_id AND p.leaf_number = f.leaf_number)"
        " LEFT JOIN cleanup.change_log AS l ON l.run_id = r.run_id AND l.finding_number = f.finding_number"
        " LEFT JOIN cleanup.outcome AS o ON o.run_id = r.run_id AND o.finding_number = f.finding_number"
        " WHERE r.run_id = %s",
        leaf_number, run_id,
    )  # fmt: skip
    return {int(str(key)): str(outcome) for key, outcome in found}


def text_of(site: Site, table: str, number: int) -> str | None:
    found = site.rows(f"SELECT body FROM {table} WHERE id = %s", number)
    return str(found[0][0]) if found else None


def rows_lost(site: Site, expected: Posts, table: str, touched: int) -> Measured:
    """Rows that are not what they should be, beside those of the table's first numbers, which authors touched."""

    def rest(posts: Posts) -> Posts:
        mine = {key: row for key, row in posts[table].items() if touched < int(str(key[1]).split()[0]) < REKEYED}
        return {**posts, table: mine}

    return Measured(rows_lost=differing_rows(rest(site.everything()), rest(expected)))


def actionable(site: Site, plan: int) -> int:
    return site.number("SELECT sum(actionable)::bigint FROM cleanup.chunk WHERE plan_id = %s", plan)


@pytest.mark.parametrize("leaf_number", [NOTE_LEAF, ARCHIVE_LEAF], ids=["note", "partition"])
@pytest.mark.parametrize("point", list(Point), ids=lambda point: point.name.lower())
def test_an_author_commits_during_apply(
    make_site: MakeSite, stepping: Stepping, faults: Faults, point: Point, leaf_number: int
) -> None:
    case = faults.case(FAULT, "apply")
    site = make_site(150, PATIENT)
    peace = undisturbed(site)
    table, acts = TABLES[leaf_number]
    plan = stepping.plan(site)
    authors = Authors(site)
    with stepping.held(site, lambda: stepping.apply(site, plan), point, leaf_number):
        for number, one in enumerate(acts, start=1):
            authors.do(_statement(table, number, one.statement))
        if point.holds_locks:
            authors.wait_until_blocked()
        else:
            authors.join()
    authors.join()
    run = site.run_of(plan)
    measured = site.require_sound(run, planned=actionable(site, plan))
    outcomes = outcome_by_row(site, run, leaf_number)
    for number, one in enumerate(acts, start=1):
        original = body_of(table, number)
        expected = one.before(site, original) if point.is_before_us else one.after(site, original)
        if one.name == "moves" and not point.is_before_us:
            expected = site.redacted(original)
        if one.name == "moves" and point.is_before_us:
            expected = original
        assert text_of(site, table, number) == expected, one.name
        assert outcomes[number] == (one.outcome if point.is_before_us else "changed"), one.name
    rekeyed = [name.name for name in acts].index("re-keys") + 1
    body = body_of(table, rekeyed)
    assert text_of(site, table, REKEYED + rekeyed) == (body if point.is_before_us else site.redacted(body))
    bystander = len(acts) + 1
    assert outcomes[bystander] == "changed"
    case.settle(measured + rows_lost(site, peace.applied, table, len(acts)))
    # What the authors brought in anew is found, and a delta plan clears it.
    verification = site.verify(run)
    assert verification.sweep.unplanned == site.left_in_scope() > 0
    if point not in (Point.READ_AHEAD, Point.WRITTEN):
        return
    delta = stepping.plan(site, since=plan)
    assert stepping.apply(site, delta)
    assert site.left_in_scope() == 0
    assert site.verify(site.run_of(delta)).is_clean


ROLLBACK_ACTS = (
    Act("rewrites", f"SET body = '{REWRITTEN}'", "conflict", _author_text(REWRITTEN), _author_text(REWRITTEN)),
    Act("appends", "SET body = body || '尾'", "restored_after_edit", _original_and("尾"), _author_text("{original}尾")),
    Act("writes the same", "SET body = body", "restored", _original, _original),
    Act("deletes", "DELETE", "row_gone", _gone, _gone),
    Act("re-keys", f"SET id = id + {REKEYED}", "row_gone", _gone, _gone),
    Act("empties", "SET body = ''", "conflict", _author_text(""), _author_text("")),
)


@pytest.mark.parametrize("leaf_number", [NOTE_LEAF, ARCHIVE_LEAF], ids=["note", "partition"])
@pytest.mark.parametrize("point", list(Point), ids=lambda point: point.name.lower())
def test_an_author_commits_during_rollback(
    make_site: MakeSite, stepping: Stepping, faults: Faults, point: Point, leaf_number: int
) -> None:
    case = faults.case(FAULT, "rollback")
    site = make_site(150, PATIENT)
    table, _ = TABLES[leaf_number]
    original = site.everything()
    run = stepping.apply(site, plan := stepping.plan(site))
    authors = Authors(site)
    with stepping.held(site, lambda: stepping.roll_back(site, run), point, leaf_number):
        for number, one in enumerate(ROLLBACK_ACTS, start=1):
            authors.do(_statement(table, number, one.statement))
        back_by_hand = len(ROLLBACK_ACTS) + 1
        authors.do(f"UPDATE {table} SET body = %s WHERE id = {back_by_hand}", [body_of(table, back_by_hand)])
        if point.holds_locks:
            authors.wait_until_blocked()
        else:
            authors.join()
    authors.join()
    back = site.last_run()
    measured = site.require_sound(back, planned=actionable(site, plan))
    outcomes = outcome_by_row(site, back, leaf_number)
    for number, one in enumerate(ROLLBACK_ACTS, start=1):
        body = body_of(table, number)
        expected = one.before(site, body) if point.is_before_us else one.after(site, body)
        assert text_of(site, table, number) == expected, one.name
        assert outcomes[number] == (one.outcome if point.is_before_us else "restored"), one.name
    assert text_of(site, table, back_by_hand) == body_of(table, back_by_hand)
    assert outcomes[back_by_hand] == ("already_restored" if point.is_before_us else "restored")
    # All that no author touched is what it was.
    case.settle(measured + rows_lost(site, original, table, back_by_hand))


@pytest.mark.parametrize("how", ["FOR UPDATE", "FOR NO KEY UPDATE", "FOR SHARE"])
def test_a_row_that_an_author_holds_is_put_off_and_done_later(
    make_site: MakeSite, stepping: Stepping, faults: Faults, how: str
) -> None:
    """It is neither waited for nor forgotten; what the author then commits is what is decided on."""
    case = faults.case("an author holds a row for a while", "apply")
    site = make_site(30, PATIENT)
    peace = undisturbed(site)
    plan = stepping.plan(site)
    with site.connect() as author:
        author.execute("BEGIN")
        author.execute(f"SELECT FROM note WHERE id = 7 {how}".encode())
        if how != "FOR SHARE":
            author.execute("UPDATE note SET body = %s WHERE id = 7", (REWRITTEN,))
        # The lane is past the row when its first batch is committed; then the author commits.
        with stepping.held(site, lambda: stepping.apply(site, plan), Point.COMMITTED, NOTE_LEAF):
            assert site.number("SELECT count(*) FROM cleanup.deferral") == 1
            author.execute("COMMIT")
    run = site.run_of(plan)
    measured = site.require_sound(run, planned=actionable(site, plan))
    case.settle(measured + rows_lost(site, peace.applied, "note", 7))
    final = REWRITTEN if how != "FOR SHARE" else body_of("note", 7)
    assert text_of(site, "note", 7) == site.redacted(final)
    assert outcome_by_row(site, run, NOTE_LEAF)[7] == ("changed" if how == "FOR SHARE" else "changed_after_edit")
    assert site.verify(run).is_clean


def test_a_child_row_being_inserted_holds_nothing_up(make_site: MakeSite, stepping: Stepping) -> None:
    """FOR KEY SHARE is what a foreign key takes: our lock does not stand in its way, nor it in ours."""
    site = make_site(30, PATIENT)
    site.do("CREATE TABLE child (note_id bigint REFERENCES note)")
    plan = stepping.plan(site)
    with site.connect() as before, site.connect() as during:
        before.execute("BEGIN")
        before.execute("INSERT INTO child VALUES (7)")
        with stepping.held(site, lambda: stepping.apply(site, plan), Point.WRITTEN, NOTE_LEAF):
            during.execute("SET lock_timeout = '1s'")
            during.execute("INSERT INTO child VALUES (8)")
        before.execute("COMMIT")
    run = site.run_of(plan)
    assert outcome_by_row(site, run, NOTE_LEAF)[7] == "changed"
    assert site.number("SELECT count(*) FROM cleanup.deferral") == 0


@heavy
@pytest.mark.parametrize("verb", ["apply", "rollback"])
def test_a_row_that_is_held_for_ever_is_named(make_site: MakeSite, faults: Faults, verb: str) -> None:
    case = faults.case("an author holds rows for ever", verb)
    site = make_site(30, Pace(locked_passes=2))
    plan = site.approved_plan()
    run = 0
    if verb == "rollback":
        site.run("apply", str(plan))
        run = site.run_of(plan)
    with site.connect() as author:
        author.execute("BEGIN")
        author.execute("SELECT FROM note WHERE id = 7 FOR UPDATE")
        author.execute("SELECT FROM comment WHERE note_id = 8 FOR UPDATE")
        ended = site.run(verb, str(run or plan), expect=APPLY_ENDS_WITH_WORK_LEFT)
        author.execute("ROLLBACK")
    left = site.last_run()
    case.settle(site.require_sound(left, planned=actionable(site, plan)))
    assert site.outcomes(left)["locked_out"] == 2
    assert "locked_out" in ended.out
    named = [line for line in ended.out.splitlines() if "locked_out" in line and "public.note" in line]
    assert any("body" in line and "7" in line for line in named), ended.out
    verified = site.run("verify", str(left), expect=1)
    assert "public.note.body" in verified.out
    if verb == "rollback":
        # A further rollback brings back what was locked out, and finds the rest there already.
        site.run("rollback", str(run))
        assert site.outcomes(site.last_run()) == {"restored": 2, "already_restored": actionable(site, plan) - 2}
        assert text_of(site, "note", 7) == body_of("note", 7)


def test_a_row_that_moves_while_we_lock_it_is_tried_again(
    make_site: MakeSite, stepping: Stepping, faults: Faults
) -> None:
    """The server reports such a row as 40001: the batch is taken up again, and then the row is gone from its leaf."""
    case = faults.case("serialization failure: a row moves to another partition", "apply")
    site = make_site(150, PATIENT)
    peace = undisturbed(site)
    plan = stepping.plan(site)
    with site.connect() as author:
        author.execute("BEGIN")
        author.execute("UPDATE note_archive SET created_at = created_at + interval '40 days' WHERE id = 3")
        with stepping.held(site, lambda: stepping.apply(site, plan), Point.COMMITTED, ARCHIVE_LEAF):
            assert site.number("SELECT count(*) FROM cleanup.deferral") == 1
            author.execute("COMMIT")
    run = site.run_of(plan)
    assert outcome_by_row(site, run, ARCHIVE_LEAF)[3] == "row_gone"
    measured = site.require_sound(run, planned=actionable(site, plan))
    case.settle(measured + rows_lost(site, peace.applied, "note_archive", 3))
    verification = site.verify(run)
    assert verification.sweep.unplanned == 1
    assert verification.sweep.examples[0].key[0] == "3"


def test_a_lane_whose_chunk_was_taken_over_is_fenced_off(
    make_site: MakeSite, stepping: Stepping, faults: Faults
) -> None:
    """Its session was lost, and another lane has the chunk: the older attempt writes nothing more."""
    case = faults.case("a lane's session is lost and its chunk taken over", "apply")
    site = make_site(30, PATIENT)
    peace = undisturbed(site)
    plan = stepping.plan(site)
    with open_connection(site.dsn, "another lane") as other, ThreadPoolExecutor(1) as elsewhere:
        with stepping.held(site, lambda: stepping.apply(site, plan), Point.READ_AHEAD, NOTE_LEAF):
            run = site.run_of(plan)
            site.do("SELECT pg_terminate_backend(lease_pid) FROM cleanup.run_chunk WHERE lease_pid IS NOT NULL")
            wait_for("the end of the lane's session", lambda: not site.rows(_SESSIONS, "% lane 1"))
            with transaction(other):
                taken = claim_run_chunk(other, run, 3_600)
            assert taken is not None
            assert (taken.chunk_number, taken.attempt) == (1, 2)

            def give_back() -> None:
                wait_for("the lane to find all chunks done or taken", lambda: bool(site.rows(_ASKS, "% lane 1")))
                assert site.number("SELECT count(*) FROM cleanup.batch WHERE chunk_number = 1") == 0
                with transaction(other):
                    release_run_chunk(other, run, taken)

            given_back = elsewhere.submit(give_back)
        given_back.result()
    case.settle(site.require_sound(run, planned=peace.planned, expected=peace.applied))
    assert site.rows("SELECT DISTINCT attempt FROM cleanup.batch WHERE chunk_number = 1") == [(3,)]


_SESSIONS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE %s"
_ASKS = f"{_SESSIONS} AND query LIKE '%%cleanup:run_chunks.awaited%%'"


def test_random_commits_between_snapshot_and_lock(make_site: MakeSite, stepping: Stepping, faults: Faults) -> None:
    """The one gap no gate fits into: the statement has its snapshot, and has not locked the row yet.

    An author rewrites rows as fast as it can while batches of many rows lock them.
    """
    case = faults.case("authors rewrite rows as fast as they can", "apply")
    site = make_site(0, replace(PATIENT, max_drift=1.0))
    with site.connect() as connection:
        connection.execute(
            "INSERT INTO note SELECT n, 1, '2021-01-01', false, 't', 'x https://item.taobao.com/item.htm?id=' || n"
            " FROM generate_series(1, 3000) AS n"
        )
    plan = stepping.plan(site)
    authors = Authors(site)
    with stepping.held(site, lambda: stepping.apply(site, plan), Point.READ_AHEAD, NOTE_LEAF):
        for part in range(4):
            loop = "FOR n IN REVERSE 3000..1 LOOP IF n % 4 = {} THEN {}; COMMIT; END IF; END LOOP"
            edit = "UPDATE note SET body = body || ' 改' WHERE id = n"
            authors.do(f"DO $$ BEGIN {loop.format(part, edit)}; END $$")
        wait_for("an author", lambda: site.number("SELECT count(*) FROM note WHERE body LIKE '%%改'") > 0)
    authors.join()
    run = site.run_of(plan)
    measured = site.require_sound(run, planned=3000)
    # Each row holds the author's edit and no link, whoever of the two came first.
    odd = "body NOT LIKE '%改' OR body LIKE '%taobao%' OR body LIKE '%改%改%'"
    case.settle(measured + Measured(rows_lost=site.number(f"SELECT count(*) FROM note WHERE {odd}")))
