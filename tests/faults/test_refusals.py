"""The database refuses or alters some of the rows: each ends in a named outcome, and all others are done."""

from tests.faults.conftest import MakeSite, heavy
from tests.faults.jobs import Pace, Site, body_of, slow_updates
from tests.faults.measuring import differing_rows, undisturbed
from tests.faults.stepping import Stepping
from tests.plugins.fault_table import Faults, Measured

WORK_LEFT = 1
PACE = Pace(lanes=1, chunk_rows=1_000, batch_rows_max=1_000)

TRIGGERS = (
    """CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        CASE NEW.id
            WHEN 3 THEN RETURN NULL;
            WHEN 5 THEN IF NEW.body NOT LIKE '%taobao%' THEN NEW.body := '[审] ' || NEW.body || ' [完]'; END IF;
            WHEN 8 THEN RAISE EXCEPTION 'not this one';
            WHEN 9 THEN RAISE EXCEPTION 'nor this' USING ERRCODE = 'insufficient_privilege';
            WHEN 11 THEN RAISE EXCEPTION 'nor this' USING ERRCODE = 'object_not_in_prerequisite_state';
            WHEN 12 THEN NEW.body := OLD.body;
            WHEN 13 THEN NEW.body := NULL;
            ELSE NULL;
        END CASE;
        RETURN NEW;
    END $$""",
    "CREATE TRIGGER odd BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION odd()",
    """CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.id = 7 THEN RAISE EXCEPTION 'too late for this one' USING ERRCODE = 'check_violation'; END IF;
        RETURN NULL;
    END $$""",
    "CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON note DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION late()",
    "ALTER TABLE comment ADD CONSTRAINT keeps_its_link CHECK (note_id <> 6 OR body LIKE '%taobao%')",
)
REFUSED = {
    ("note", 3): "a trigger returned no row",
    ("note", 7): "SQLSTATE 23514",
    ("note", 8): "SQLSTATE P0001",
    ("note", 9): "SQLSTATE 42501",
    ("note", 11): "SQLSTATE 55000",
    ("note", 12): "a trigger put the old text back",
    ("note", 13): "SQLSTATE 23502",
    ("comment", 6): "SQLSTATE 23514",
}
ALTERED = 5


def refused(site: Site, run_id: int) -> dict[tuple[str, int], str]:
    """What the run says of each refused row: a comment is named by the number of its note."""
    found = site.rows(
        "SELECT l.leaf_name, f.key::json ->> 0, o.detail FROM cleanup.outcome AS o"
        " JOIN cleanup.run AS r ON r.run_id = o.run_id"
        " JOIN cleanup.finding AS f ON f.plan_id = r.plan_id AND f.finding_number = o.finding_number"
        " JOIN cleanup.plan_leaf AS l ON l.plan_id = f.plan_id AND l.leaf_number = f.leaf_number"
        " WHERE o.run_id = %s AND o.outcome = 'refused_by_database'",
        run_id,
    )
    notes = {str(key): int(str(note)) for key, note in site.rows("SELECT id::text, note_id FROM comment")}
    return {
        (str(leaf).removeprefix("public."), notes.get(str(key)) or int(str(key))): str(detail)
        for leaf, key, detail in found
    }


def test_refused_and_altered_rows_have_their_outcome_and_all_others_are_done(
    make_site: MakeSite, stepping: Stepping, faults: Faults
) -> None:
    applying, rolling_back = (
        faults.case("the database refuses or alters rows", verb) for verb in ("apply", "rollback")
    )
    site = make_site(60, PACE)
    peace = undisturbed(site)
    site.do(*TRIGGERS)
    original = site.everything()
    plan = stepping.plan(site)
    planned = site.number("SELECT sum(actionable)::bigint FROM cleanup.chunk")
    ended = site.run("apply", str(plan), expect=WORK_LEFT)
    run = site.run_of(plan)
    assert "refused_by_database" in ended.out
    # All but those that the database refused or altered are what an undisturbed run makes of them.
    measured = site.require_sound(run, planned=planned)
    odd = differing_rows(site.everything(), peace.applied) - len(REFUSED) - 1
    applying.settle(measured + Measured(rows_lost=odd))
    assert refused(site, run) == REFUSED
    assert site.outcomes(run) == {
        "refused_by_database": len(REFUSED),
        "altered_by_trigger": 1,
        "changed": planned - len(REFUSED) - 1,
    }
    altered = site.value("SELECT body FROM note WHERE id = %s", ALTERED)
    assert altered == f"[审] {site.redacted(body_of('note', ALTERED))} [完]"
    for table, number in REFUSED:
        key = "note_id" if table == "comment" else "id"
        text = site.value(f"SELECT body FROM {table} WHERE {key} = %s", number)
        assert text == body_of(table, number)
    verification = site.verify(run)
    assert len(verification.left) == len(REFUSED)
    assert verification.values == {"as_written": planned - len(REFUSED)}

    # All that was done is undone, the altered text too.
    stepping.roll_back(site, run)
    rolling_back.settle(site.require_sound(site.last_run(), planned=planned - len(REFUSED), expected=original))
    assert site.outcomes(site.last_run()) == {"restored": planned - len(REFUSED)}


@heavy
def test_a_row_that_takes_too_long_by_itself_is_left_and_the_run_ends(make_site: MakeSite, faults: Faults) -> None:
    """Halving comes to a batch of one, and that can not be made any smaller."""
    case = faults.case("one row takes longer than a batch may, every time", "apply")
    site = make_site(30, Pace(lanes=2, chunk_rows=1_000, batch_rows_max=1_000, lock_target_ms=50))
    peace = undisturbed(site)
    site.do(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.id = 7 AND current_setting('application_name') LIKE 'cleanup%' THEN PERFORM pg_sleep(60); END IF;"
        " RETURN NEW; END $$",
        "CREATE TRIGGER slow BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    plan = site.approved_plan()
    planned = site.number("SELECT sum(actionable)::bigint FROM cleanup.chunk")
    rehearsed = site.run("apply", str(plan), "--rehearse", expect=WORK_LEFT)
    assert "refused_by_database" in rehearsed.out
    ended = site.run("apply", str(plan), expect=WORK_LEFT)
    assert '"event": "batch.given_up"' in ended.err
    run = site.run_of(plan)
    assert refused(site, run) == {("note", 7): "it took too long at each of 5 attempts, SQLSTATE 57014"}
    assert site.outcomes(run) == {"refused_by_database": 1, "changed": planned - 1}
    measured = site.require_sound(run, planned=planned)
    case.settle(measured + Measured(rows_lost=differing_rows(site.everything(), peace.applied) - 1))
    assert site.value("SELECT body FROM note WHERE id = 7") == body_of("note", 7)


def test_a_rollback_that_the_database_refuses_for_a_row_names_it(
    make_site: MakeSite, stepping: Stepping, faults: Faults
) -> None:
    case = faults.case("the database refuses a row until its cause is mended", "rollback")
    site = make_site(30, PACE)
    original = site.everything()
    plan = stepping.plan(site)
    run = stepping.apply(site, plan)
    applied = site.everything()
    site.do("ALTER TABLE comment ADD CONSTRAINT no_link CHECK (note_id <> 6 OR body NOT LIKE '%taobao%')")
    ended = site.run("rollback", str(run), expect=WORK_LEFT)
    back = site.last_run()
    assert "refused_by_database" in ended.out
    assert refused(site, back) == {("comment", 6): "SQLSTATE 23514"}
    site.require_sound(back, planned=sum(site.outcomes(run).values()))
    kept = "SELECT body FROM comment WHERE note_id = 6"
    assert site.value(kept) == site.redacted(body_of("comment", 6))
    assert site.everything() != applied
    # Once the cause is mended, a further rollback brings the last one back.
    site.do("ALTER TABLE comment DROP CONSTRAINT no_link")
    stepping.roll_back(site, run)
    assert site.value(kept) == body_of("comment", 6)
    case.settle(site.require_sound(site.last_run(), planned=sum(site.outcomes(run).values()), expected=original))
    assert site.outcomes(site.last_run())["restored"] == 1


@heavy
def test_a_batch_that_takes_too_long_is_made_smaller(make_site: MakeSite, stepping: Stepping, faults: Faults) -> None:
    """Else the same rows would be too many in each attempt, and in each run of the command."""
    case = faults.case("batches that take too long", "apply")
    site = make_site(0, Pace(lanes=1, chunk_rows=1_000, lock_target_ms=200))
    site.do(
        "INSERT INTO note SELECT n, 1, '2021-01-01', false, 't', 'https://item.taobao.com/item.htm?id=' || n"
        " FROM generate_series(1, 120) AS n"
    )
    slow_updates(site, "note", 25)
    plan = stepping.plan(site)
    run = stepping.apply(site, plan)
    case.settle(site.require_sound(run, planned=120) + Measured(rows_lost=site.left_in_scope()))
    assert site.outcomes(run) == {"changed": 120}
    longest = site.value("SELECT max(lock_ms)::float8 FROM cleanup.batch")
    assert float(str(longest)) < 2_500
    # It has learned: the last batches hold their locks for about as long as the target says.
    last = site.value("SELECT findings FROM cleanup.batch ORDER BY after_number DESC LIMIT 1 OFFSET 1")
    assert int(str(last)) <= 10
