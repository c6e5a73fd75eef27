"""Triggers of the posts' tables: each is named with what it touches, and the config's word on it is kept by a run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cleanup.demo.server import Server
from tests.integration.checking import READS_ALL, WRITES_LEDGER, Result, Site, new_site
from tests.integration.jobs import Job, new_database, new_folder

TOUCH = """
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp(); NEW.lock_version := OLD.lock_version + 1; -- thesecretword
    RETURN NEW;
END $$;
CREATE TRIGGER touch BEFORE UPDATE ON post FOR EACH ROW EXECUTE FUNCTION touch();
"""
UNTOUCH = "DROP TRIGGER touch ON post; DROP FUNCTION touch()"
KEEP = """
CREATE TABLE kept (id bigint, old text);
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.kept VALUES (OLD.id, OLD.body); RETURN NULL; END $$;
CREATE TRIGGER keep AFTER UPDATE ON post FOR EACH ROW EXECUTE FUNCTION keep();
"""
UNKEEP = "DROP TRIGGER keep ON post; DROP FUNCTION keep(); DROP TABLE kept"


@pytest.fixture(scope="module")
def site(server: Server) -> Iterator[Site]:
    """Posts and a ledger; each test undoes what it does."""
    with new_database(server) as dsn, new_folder() as folder:
        yield new_site(Job(dsn, folder, ""))


@pytest.fixture(autouse=True)
def plain_config(site: Site) -> None:
    site.configure()


@pytest.fixture
def fresh(database_dsn: str, tmp_path: Path) -> Site:
    """A site of this test alone, to run the job on."""
    return new_site(Job(database_dsn, tmp_path, ""))


def trigger(found: list[Result]) -> Result:
    assert [one.subject for one in found] == ["public.post.touch"], found
    return found[0]


def test_no_trigger_is_well(site: Site) -> None:
    assert site.one("triggers", "ok").value == "an UPDATE of the configured columns fires none"


def test_a_trigger_that_nobody_decided_on_blocks_and_says_what_it_touches(site: Site) -> None:
    with site.meanwhile(TOUCH, UNTOUCH):
        found = trigger(site.check("triggers"))
    assert found.level == "block"
    assert "BEFORE UPDATE on public.post, public.touch(): sets updated_at, lock_version" in found.value
    assert 'triggers = "fire" or "suppress" at [[table]] public.post' in found.hint
    assert "updated_at: old posts would look edited today." in found.hint
    assert "lock_version: editors that are open would lose" in found.hint
    assert "acknowledge" not in found.hint


def test_a_trigger_that_is_to_fire_or_be_silent_is_a_warning(site: Site) -> None:
    with site.meanwhile(TOUCH, UNTOUCH):
        site.configure(table='triggers = "fire"')
        fires = trigger(site.check("triggers"))
        site.configure(table='triggers = "suppress"')
        silent = trigger(site.check("triggers"))
        site.one("trigger-suppression", "ok")
    assert (fires.level, fires.value[:10], fires.hint[:11]) == ("warn", "will fire;", "updated_at:")
    assert (silent.level, silent.value[:17]) == ("warn", "will stay silent;")
    assert "cleanup log RUN" in silent.hint


def test_triggers_that_can_not_fire_are_not_named(site: Site) -> None:
    harmless = (
        "CREATE TRIGGER touch BEFORE UPDATE OF title ON post FOR EACH ROW EXECUTE FUNCTION touch()",
        "CREATE TRIGGER touch BEFORE INSERT OR DELETE ON post FOR EACH ROW EXECUTE FUNCTION touch()",
        "CREATE TRIGGER touch BEFORE UPDATE ON post FOR EACH ROW EXECUTE FUNCTION touch();"
        "ALTER TABLE post DISABLE TRIGGER touch",
        "CREATE TRIGGER touch BEFORE UPDATE ON post FOR EACH ROW EXECUTE FUNCTION touch();"
        "ALTER TABLE post ENABLE REPLICA TRIGGER touch",
    )
    function = TOUCH.partition("CREATE TRIGGER")[0]
    with site.meanwhile(function, "DROP FUNCTION touch()"):
        for statement in harmless:
            with site.meanwhile(statement, "DROP TRIGGER touch ON post"):
                site.one("triggers", "ok")
        one_column = harmless[0].replace("title", "title, body")
        with site.meanwhile(one_column, "DROP TRIGGER touch ON post"):
            assert trigger(site.check("triggers")).level == "block"


@pytest.mark.parametrize("how", ["ALWAYS", "REPLICA"])
def test_a_trigger_that_can_not_be_suppressed_blocks(site: Site, how: str) -> None:
    site.configure(table='triggers = "suppress"')
    with site.meanwhile(f"{TOUCH}; ALTER TABLE post ENABLE {how} TRIGGER touch", UNTOUCH):
        found = trigger(site.check("triggers"))
    assert (found.level, f"(ENABLE {how})" in found.value) == ("block", True)
    assert 'triggers = "fire"' in found.hint


def test_suppressing_needs_a_right_that_can_be_granted(site: Site) -> None:
    site.configure(table='triggers = "suppress"')
    with site.role(*READS_ALL, "GRANT UPDATE ON post TO {role}", WRITES_LEDGER) as role:
        found = site.one("trigger-suppression", "block", role)
        assert "may not set session_replication_role" in found.value
        assert "GRANT SET ON PARAMETER session_replication_role" in found.hint
        site.job.execute(f"GRANT SET ON PARAMETER session_replication_role TO {role}")
        site.one("trigger-suppression", "ok", role)


def test_foreign_keys_that_would_be_silenced_too_block(site: Site) -> None:
    site.configure(table='triggers = "suppress"', columns='url = "url"')
    done = "CREATE TABLE link (url text PRIMARY KEY); ALTER TABLE post ADD url text REFERENCES link"
    with site.meanwhile(done, "ALTER TABLE post DROP url; DROP TABLE link"):
        found = site.one("trigger-suppression", "block")
    assert "post_url_fkey" in found.value
    assert "leave those columns out" in found.hint


def test_sessions_that_begin_without_triggers_block(site: Site) -> None:
    with site.role(*READS_ALL) as role:
        site.job.execute(f"ALTER ROLE {role} SET session_replication_role = replica")
        found = [one for one in site.check("trigger-suppression", role) if one.level == "block"]
    assert [("= replica" in one.value, "from the role" in one.hint) for one in found] == [(True, True)]


def test_triggers_that_sessions_of_the_role_silence_are_not_said_to_fire(site: Site) -> None:
    site.configure(table='triggers = "fire"')
    with site.meanwhile(TOUCH, UNTOUCH), site.role(*READS_ALL) as role:
        assert trigger(site.check("triggers", role)).value.startswith("will fire;")
        site.job.execute(f"ALTER ROLE {role} SET session_replication_role = replica")
        silent = trigger(site.check("triggers", role))
        site.job.execute("ALTER TABLE post ENABLE REPLICA TRIGGER touch")
        fires = trigger(site.check("triggers", role))
    assert (silent.level, silent.value.partition(";")[0]) == (
        "warn",
        "will NOT fire, since sessions begin with session_replication_role = replica",
    )
    assert fires.value.startswith("will fire;")


def test_a_trigger_that_our_search_path_would_fail_is_told(site: Site) -> None:
    site.configure(table='triggers = "fire"')
    unqualified = KEEP.replace("public.kept", "kept")
    with site.meanwhile(unqualified, UNKEEP):
        found = site.one("triggers", "warn")
        assert "It names kept without a schema" in found.hint
        assert "ALTER FUNCTION public.keep SET search_path" in found.hint
        site.job.execute("ALTER FUNCTION keep() SET search_path = public")
        assert "without a schema" not in site.one("triggers", "warn").hint


def test_a_trigger_that_copies_texts_blocks_until_somebody_takes_the_risk(site: Site) -> None:
    with site.meanwhile(KEEP, UNKEEP):
        site.configure(table='triggers = "fire"')
        found = site.one("trigger-copies", "block")
        assert (found.subject, found.value) == ("public.post.keep", "would copy texts to public.kept")
        assert 'acknowledge = ["trigger-copies:public.post.keep"]' in found.hint
        site.configure(table='triggers = "fire"', check='acknowledge = ["trigger-copies:public.post.keep"]')
        assert site.one("trigger-copies", "warn").acknowledged
        site.configure(table='triggers = "suppress"')
        site.one("trigger-copies", "ok")


def test_a_trigger_on_every_partition_is_one_result(site: Site) -> None:
    done = """CREATE TABLE old_post (id bigint, created_at timestamptz, body text, PRIMARY KEY (id, created_at))
            PARTITION BY RANGE (created_at);
        CREATE TABLE old_post_1 PARTITION OF old_post FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
        CREATE TABLE old_post_2 PARTITION OF old_post FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
        CREATE FUNCTION calm() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER calm BEFORE UPDATE ON old_post FOR EACH ROW EXECUTE FUNCTION calm()"""
    site.configure(name="public.old_post")
    with site.meanwhile(done, "DROP TABLE old_post; DROP FUNCTION calm()"):
        found = site.one("triggers", "block")
    assert "on public.old_post_1 and 1 more table(s)" in found.value


def touched(site: Site) -> int:
    return site.job.number("SELECT count(*) FROM post WHERE lock_version > 1")


@pytest.mark.parametrize(("policy", "expected"), [("fire", 20), ("suppress", 0)])
def test_a_run_and_its_rollback_fire_triggers_or_keep_them_silent(fresh: Site, policy: str, expected: int) -> None:
    fresh.job.execute(TOUCH)
    fresh.configure(table=f'triggers = "{policy}"')
    run = fresh.job.apply(fresh.job.plan())
    assert fresh.job.number("SELECT count(*) FROM post WHERE body LIKE '%http%'") == 0
    assert touched(fresh) == expected
    fresh.job.execute("ALTER TABLE post DISABLE TRIGGER touch; UPDATE post SET lock_version = 1")
    fresh.job.execute("ALTER TABLE post ENABLE TRIGGER touch")
    fresh.job.roll_back(run)
    assert fresh.job.number("SELECT count(*) FROM post WHERE body LIKE '%http%'") == 20
    assert touched(fresh) == expected


def test_a_run_is_refused_while_nobody_has_decided(fresh: Site) -> None:
    fresh.job.execute(TOUCH)
    plan = fresh.job.plan()
    fresh.job.approve(plan)
    before = fresh.job.checksums()
    answer = fresh.job.call("apply", 1)
    assert (answer.status, answer.codes) == (3, ["CLN-313"]), answer.err
    assert "triggers public.post.touch: BEFORE UPDATE" in answer.err
    assert fresh.job.checksums() == before
    # What is decided about triggers alters results, so it is part of what was signed.
    fresh.configure(table='triggers = "fire"')
    answer = fresh.job.call("apply", 1)
    assert answer.codes == ["CLN-106"]
    assert 'public.post.triggers: "refuse" then, "fire" now' in answer.err


def test_a_rollback_is_refused_while_nobody_has_decided(fresh: Site) -> None:
    run = fresh.job.apply(fresh.job.plan())
    fresh.job.execute(TOUCH)
    fresh.job.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    before = fresh.job.checksums()
    answer = fresh.job.call("rollback", run.number("run_id"))
    assert (answer.status, answer.codes) == (3, ["CLN-313"]), answer.err
    assert fresh.job.checksums() == before
    # A risk of the server's is no reason to hold up whoever has to undo a run.
    fresh.configure(table='triggers = "suppress"')
    fresh.job.roll_back(run)
    assert touched(fresh) == 0


def test_a_role_that_was_granted_no_more_than_it_needs_runs_without_triggers(fresh: Site) -> None:
    fresh.job.execute(TOUCH)
    fresh.configure(table='triggers = "suppress"')
    plan = fresh.job.plan()
    fresh.job.approve(plan)
    grants = (
        *READS_ALL,
        WRITES_LEDGER,
        "GRANT UPDATE (body) ON post TO {role}",
        "GRANT ALL ON SCHEMA cleanup TO {role}",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA cleanup TO {role}",
        "GRANT SET ON PARAMETER session_replication_role TO {role}",
        "GRANT pg_monitor TO {role}",
    )
    with fresh.role(*grants) as role:
        # The run adds a partition to the log, which its owner alone may do as long as no function does it for others.
        fresh.job.execute(f"ALTER TABLE cleanup.change_log OWNER TO {role}")
        answer = fresh.job.call("apply", 1, dsn=f"{fresh.job.dsn} user={role}")
        fresh.job.execute("ALTER TABLE cleanup.change_log OWNER TO postgres")
        fresh.job.execute(f"REASSIGN OWNED BY {role} TO postgres")
    assert answer.status == 0, answer.err
    assert touched(fresh) == 0
