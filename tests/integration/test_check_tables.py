"""Checks of the configured tables: rights, and what hangs on the written columns; each is tripped and seen."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cleanup.demo.server import Server
from tests.integration.checking import READS_ALL, WRITES_LEDGER, Site, new_site
from tests.integration.jobs import Job, new_database, new_folder


@pytest.fixture(scope="module")
def site(server: Server) -> Iterator[Site]:
    """Posts and a ledger; each test undoes what it does."""
    with new_database(server) as dsn, new_folder() as folder:
        yield new_site(Job(dsn, folder, ""))


@pytest.fixture(autouse=True)
def plain_config(site: Site) -> None:
    site.configure()


@dataclass(frozen=True, slots=True)
class Trip:
    """Something done to the database, and what the check of that name then says."""

    name: str
    level: str
    done: str
    undone: str
    value: str
    hint: str
    columns: str = 'body = "text"'


TRIPS = {
    "rule": Trip(
        "rules",
        "block",
        "CREATE RULE odd AS ON UPDATE TO post DO ALSO NOTHING",
        "DROP RULE odd ON post",
        "UPDATE is rewritten by odd on public.post",
        "DISABLE RULE",
    ),
    "generated column": Trip(
        "generated-columns",
        "warn",
        "ALTER TABLE post ADD shouted text GENERATED ALWAYS AS (upper(body)) STORED",
        "ALTER TABLE post DROP shouted",
        "shouted (from body)",
        "follow the text by themselves",
    ),
    "check constraint": Trip(
        "check-constraints",
        "warn",
        "ALTER TABLE post ADD CONSTRAINT short CHECK (length(body) < 1000 AND title <> 'thesecretword')",
        "ALTER TABLE post DROP CONSTRAINT short",
        "short (over body)",
        "refused_by_database",
    ),
    "unique index over a text": Trip(
        "unique-indexes",
        "warn",
        "CREATE UNIQUE INDEX one_text ON post (body, id)",
        "DROP INDEX one_text",
        "one_text",
        "the second ends as refused_by_database",
    ),
    "unique index over an expression": Trip(
        "unique-indexes",
        "warn",
        "CREATE UNIQUE INDEX one_hash ON post (md5(body), id)",
        "DROP INDEX one_hash",
        "one_hash",
        "the second ends",
    ),
    "unique index over a link column": Trip(
        "unique-indexes",
        "block",
        "ALTER TABLE post ADD url text UNIQUE",
        "ALTER TABLE post DROP url",
        "post_url_key: all redacted values of a url column become the same",
        'on_redact = "null"',
        'url = "url"',
    ),
    "foreign key on a link column": Trip(
        "foreign-keys",
        "block",
        "CREATE TABLE link (url text PRIMARY KEY); ALTER TABLE post ADD url text REFERENCES link",
        "ALTER TABLE post DROP url; DROP TABLE link",
        "post_url_fkey: the new text must be in public.link",
        "leave that column out",
        'url = "url"',
    ),
    "foreign key that refers to a text": Trip(
        "foreign-keys",
        "block",
        "ALTER TABLE post ADD url text UNIQUE; CREATE TABLE card (url text REFERENCES post (url))",
        "DROP TABLE card; ALTER TABLE post DROP url",
        "card_url_fkey: public.card refers to the text, and keeps it from being changed",
        "leave that column out",
        'url = { format = "url", on_redact = "null" }',
    ),
    "foreign key that follows a text": Trip(
        "foreign-keys",
        "block",
        "ALTER TABLE post ADD url text UNIQUE; CREATE TABLE card (url text REFERENCES post (url) ON UPDATE CASCADE)",
        "DROP TABLE card; ALTER TABLE post DROP url",
        "public.card would be changed along with it",
        "leave that column out",
        'url = { format = "url", on_redact = "null" }',
    ),
    "index": Trip(
        "indexes",
        "warn",
        "CREATE INDEX by_text ON post (body)",
        "DROP INDEX by_text",
        "by_text (btree",
        "adds an entry to all 2 indexes",
    ),
    "expression index": Trip(
        "indexes", "warn", "CREATE INDEX lowered ON post (lower(body))", "DROP INDEX lowered", "lowered", "REINDEX"
    ),
    "search index": Trip(
        "indexes",
        "warn",
        "CREATE INDEX words ON post USING gin (to_tsvector('simple', body))",
        "DROP INDEX words",
        "words (gin",
        "REINDEX CONCURRENTLY",
    ),
    "partial index": Trip(
        "indexes",
        "warn",
        "CREATE INDEX linked ON post (id) WHERE body LIKE '%http%'",
        "DROP INDEX linked",
        "linked",
        "REINDEX",
    ),
    "missing column": Trip("table", "block", "", "", "CLN-303", "the columns are", 'nothing = "text"'),
    "column that is no text": Trip("table", "block", "", "", "CLN-304", "can be changed", 'author_id = "text"'),
    "domain": Trip(
        "table",
        "block",
        "CREATE DOMAIN label AS text; ALTER TABLE post ADD named label",
        "ALTER TABLE post DROP named; DROP DOMAIN label",
        "CLN-304 table 'public.post', column 'named' is of the domain",
        "domains are not supported",
        'named = "text"',
    ),
    "generated column as a text": Trip(
        "table",
        "block",
        "ALTER TABLE post ADD shouted text GENERATED ALWAYS AS (upper(body)) STORED",
        "ALTER TABLE post DROP shouted",
        "CLN-304 table 'public.post', column 'shouted' is generated",
        "name the column it is computed from",
        'shouted = "text"',
    ),
    "materialized view": Trip(
        "materialized-views",
        "block",
        "CREATE MATERIALIZED VIEW best AS SELECT id, body FROM post",
        "DROP MATERIALIZED VIEW best",
        "keeps texts of public.post",
        "REFRESH MATERIALIZED VIEW",
    ),
    "materialized view through a view": Trip(
        "materialized-views",
        "block",
        "CREATE VIEW few AS SELECT id, body FROM post; CREATE MATERIALIZED VIEW best AS SELECT id FROM few",
        "DROP MATERIALIZED VIEW best; DROP VIEW few",
        "keeps texts of public.post",
        "after each rollback",
    ),
    "history by name": Trip(
        "history-tables",
        "warn",
        "CREATE TABLE post_history (entry bigint, old_row jsonb)",
        "DROP TABLE post_history",
        "has a name like a copy of public.post",
        "configure it",
    ),
    "history by columns": Trip(
        "history-tables",
        "warn",
        "CREATE TABLE elsewhere (id bigint, body text)",
        "DROP TABLE elsewhere",
        "has the columns body, id of public.post",
        "configure it",
    ),
    "history by tool": Trip(
        "history-tables",
        "warn",
        "CREATE SCHEMA audit; CREATE TABLE audit.record_version (id bigint, record jsonb)",
        "DROP SCHEMA audit CASCADE",
        "has the name of a tool that keeps old rows",
        "configure it",
    ),
}
# Close to those above, and nothing to speak of.
QUIET = {
    "rules": ("CREATE RULE kept AS ON DELETE TO post DO INSTEAD NOTHING", "DROP RULE kept ON post"),
    "generated-columns": (
        "ALTER TABLE post ADD shouted text GENERATED ALWAYS AS (upper(title)) STORED",
        "ALTER TABLE post DROP shouted",
    ),
    "check-constraints": ("ALTER TABLE post ADD CHECK (id > 0)", "ALTER TABLE post DROP CONSTRAINT post_id_check"),
    "unique-indexes": ("CREATE UNIQUE INDEX other ON post (title, id)", "DROP INDEX other"),
    "foreign-keys": (
        "CREATE TABLE child (post_id bigint REFERENCES post ON UPDATE CASCADE)",
        "DROP TABLE child",
    ),
    "indexes": ("CREATE INDEX other ON post (lower(title)) WHERE id > 3", "DROP INDEX other"),
    "materialized-views": (
        "CREATE MATERIALIZED VIEW titles AS SELECT id, title FROM post",
        "DROP MATERIALIZED VIEW titles",
    ),
    "history-tables": (
        "CREATE TABLE login_log (id bigint, agent text); CREATE TABLE post_history (id bigint)",
        "DROP TABLE login_log, post_history",
    ),
}


@pytest.mark.parametrize("case", TRIPS)
def test_what_trips_a_check_is_seen_with_its_value_and_a_way_out(site: Site, case: str) -> None:
    trip = TRIPS[case]
    site.configure(columns=trip.columns)
    with site.meanwhile(trip.done or "SELECT", trip.undone or "SELECT"):
        found = site.one(trip.name, trip.level)
    assert trip.value in found.value
    assert trip.hint in found.hint


@pytest.mark.parametrize("name", QUIET)
def test_what_is_alike_and_harmless_trips_nothing(site: Site, name: str) -> None:
    with site.meanwhile(*QUIET[name]):
        site.one(name, "ok")


def test_a_table_without_a_key_is_named(site: Site) -> None:
    with site.meanwhile("CREATE TABLE bare (created_at timestamptz, body text)", "DROP TABLE bare"):
        site.configure(name="public.bare")
        found = site.one("key", "block")
    assert (found.subject, "CLN-305" in found.value) == ("public.bare", True)
    assert "key = [...]" in found.hint


def test_an_index_whose_building_failed_is_named(site: Site) -> None:
    assert site.one("invalid-indexes", "ok").value == "none"
    with pytest.raises(Exception, match="could not create unique index"):
        site.job.execute("CREATE UNIQUE INDEX CONCURRENTLY doubled ON post (title)")
    with site.meanwhile("SELECT", "DROP INDEX doubled"):
        found = site.one("invalid-indexes", "warn")
    assert found.value == "doubled"
    assert "drop it" in found.hint


def test_rights_on_single_columns_are_enough(site: Site) -> None:
    columns = "GRANT SELECT (id, created_at, body), UPDATE (body) ON post TO {role}"
    ledger = (*READS_ALL[:1], "GRANT SELECT ON ALL TABLES IN SCHEMA cleanup TO {role}", WRITES_LEDGER)
    with site.role(*ledger, columns) as role:
        results = {one.name: one for one in site.results(role)}
    for name in ("read-privileges", "write-privileges", "write-statement", "ledger-privileges", "row-security"):
        assert results[name].level == "ok", results[name]


def test_rights_that_are_lacking_are_named_column_by_column(site: Site) -> None:
    with site.role(*READS_ALL) as role:
        found = site.one("write-privileges", "block", role)
        assert found.value == "the role may not UPDATE public.post.body"
        assert "rights on single columns are enough" in found.hint
        assert "42501" in site.one("write-statement", "block", role).value
        ledger = site.one("ledger-privileges", "block", role)
        assert "cleanup.batch" in ledger.value
        assert "sql/roles.sql" in ledger.hint
    with site.role("GRANT USAGE ON SCHEMA cleanup TO {role}", "GRANT SELECT (id, body) ON post TO {role}") as role:
        found = site.one("read-privileges", "block", role)
        assert found.value == "the role may not SELECT public.post.created_at"


def test_partitions_need_rights_of_their_own(site: Site) -> None:
    site.configure(name="public.old_post")
    done = """CREATE TABLE old_post (id bigint, created_at timestamptz, body text, PRIMARY KEY (id, created_at))
        PARTITION BY RANGE (created_at);
        CREATE TABLE old_post_1 PARTITION OF old_post FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')"""
    with site.meanwhile(done, "DROP TABLE old_post"):
        with site.role("GRANT SELECT, UPDATE ON old_post TO {role}") as role:
            assert "public.old_post_1.body" in site.one("write-privileges", "block", role).value
        rights = "GRANT SELECT, UPDATE ON old_post TO {role}", "GRANT SELECT, UPDATE ON old_post_1 TO {role}"
        with site.role(*rights) as role:
            site.one("write-privileges", "ok", role)


def test_a_predicate_over_a_closed_column_is_a_matter_of_rights(site: Site) -> None:
    site.configure(table="where = \"title <> 'x'\"")
    with site.role("GRANT SELECT (id, created_at, body), UPDATE (body) ON post TO {role}") as role:
        found = site.one("read-privileges", "block", role)
    assert "can not be read (SQLSTATE 42501)" in found.value


def test_row_security_blocks_the_roles_that_it_applies_to(site: Site) -> None:
    policy = "ALTER TABLE post ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON post USING (id < 3)"
    undone = "DROP POLICY few ON post; ALTER TABLE post DISABLE ROW LEVEL SECURITY"
    with site.meanwhile(policy, undone), site.role(*READS_ALL, "GRANT UPDATE ON post TO {role}") as role:
        found = site.one("row-security", "block", role)
        assert "public.post" in found.value
        assert "BYPASSRLS" in found.hint
        site.one("row-security", "ok")


def test_a_ledger_that_is_missing_or_newer_blocks(site: Site) -> None:
    newer = "INSERT INTO cleanup.migration VALUES (9999, 'future')"
    with site.meanwhile(newer, "DELETE FROM cleanup.migration WHERE migration_number = 9999"):
        found = site.one("ledger", "block")
        assert "CLN-309" in found.value
    with site.meanwhile("ALTER SCHEMA cleanup RENAME TO away", "ALTER SCHEMA away RENAME TO cleanup"):
        found = site.one("ledger", "block")
        assert "CLN-308" in found.value
        assert "cleanup init" in found.hint
        assert site.check("ledger-privileges") == []
    site.one("ledger", "ok")


def test_a_resolution_map_that_is_not_there_is_named(site: Site) -> None:
    site.configure(more='[resolution]\ntable = "public.nowhere"\nshort = "a"\ntarget = "b"')
    found = [one for one in site.check("table") if one.level == "block"]
    assert [one.subject for one in found] == ["public.nowhere"]


def test_links_in_columns_that_nobody_configured_are_found(site: Site) -> None:
    link = "https://item.taobao.com/item.htm?id=525"
    done = f"""CREATE TABLE profile (id bigint, motto text, card jsonb, tags text[], notes varchar(80), kept text);
        INSERT INTO profile SELECT n, '看 {link}', '{{"a": ["{link}"]}}', ARRAY['x', '{link}'], 'nothing',
            'https://example.com/' FROM generate_series(1, 50) AS n"""
    assert site.one("unconfigured-columns", "ok").value.startswith("no link in samples of 1 other column")
    with site.meanwhile(done, "DROP TABLE profile"):
        found = {one.subject: one for one in site.check("unconfigured-columns")}
        assert set(found) == {"public.profile.motto", "public.profile.card", "public.profile.tags"}
        motto = found["public.profile.motto"]
        assert (motto.level, motto.value) == ("warn", "50 of 50 sampled rows hold a link that the policy decides")
        assert "configure the column" in motto.hint
        site.configure(check="sample_rows = 7")
        assert all("7 of 7" in one.value for one in site.check("unconfigured-columns"))
        site.configure(check="sample_rows = 0")
        assert site.one("unconfigured-columns", "warn").value == "not looked for"


def test_what_a_role_may_not_read_is_said_not_passed_over(site: Site) -> None:
    done = "CREATE TABLE closed (id bigint, diary text)"
    with site.meanwhile(done, "DROP TABLE closed"), site.role("GRANT SELECT ON post TO {role}") as role:
        found = [one for one in site.check("unconfigured-columns", role) if one.level == "warn"]
    assert [one.value for one in found] == ["not looked at: public.closed.diary"]


def test_a_table_that_is_locked_is_not_waited_for(site: Site) -> None:
    with (
        site.meanwhile("CREATE TABLE held (id bigint, words text)", "DROP TABLE held"),
        site.session("LOCK TABLE held IN ACCESS EXCLUSIVE MODE"),
    ):
        found = [one for one in site.check("unconfigured-columns") if one.level == "warn"]
    assert [one.value for one in found] == ["not looked at: public.held.words"]


def test_the_links_of_the_resolution_map_are_no_discovery(site: Site) -> None:
    done = """CREATE TABLE short_link (short_url text, target_url text);
        INSERT INTO short_link VALUES ('https://t.cn/x', 'https://item.taobao.com/item.htm?id=1')"""
    with site.meanwhile(done, "DROP TABLE short_link"):
        assert [one.level for one in site.check("unconfigured-columns")] == ["warn"]
        site.configure(more='[resolution]\ntable = "public.short_link"\nshort = "short_url"\ntarget = "target_url"\n')
        site.one("unconfigured-columns", "ok")
