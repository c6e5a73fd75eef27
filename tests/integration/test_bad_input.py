"""Bad input: each gets one message with the values and a way out, its own code and exit status, and changes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg import conninfo

from cleanup.demo.server import Server
from cleanup.resources import config_directory
from tests.integration.jobs import POLICY, Answer, Job, new_database, new_folder

SCHEMA = """
CREATE EXTENSION citext;
CREATE DOMAIN label AS text;
CREATE TYPE mood AS ENUM ('sad');
CREATE FUNCTION is_shop(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
-- One after the other stands before pg_catalog's for whoever has public in front of it.
CREATE FUNCTION upper(text) RETURNS text LANGUAGE sql VOLATILE AS $$SELECT 'x'$$;
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';

CREATE TABLE post (
    id bigint PRIMARY KEY, created_at timestamptz, body text, title varchar(100), kind text, is_live boolean
);
INSERT INTO post SELECT n, '2020-01-01', 'https://item.taobao.com/item.htm?id=' || n, 't', 'note', false
  FROM generate_series(1, 20) AS n;
CREATE TABLE page (id bigint PRIMARY KEY, created_at timestamptz, body text);
INSERT INTO page SELECT id, created_at, body FROM post;
CREATE TABLE archive (id bigint, created_at timestamptz, body text, PRIMARY KEY (id, created_at))
    PARTITION BY RANGE (created_at);
CREATE TABLE archive_2020 PARTITION OF archive FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
INSERT INTO archive SELECT id, created_at, body FROM post;
CREATE TABLE archive_2019 (LIKE archive INCLUDING ALL);
INSERT INTO archive_2019 SELECT id, '2019-05-01', body FROM post;

CREATE TABLE strange (
    id bigint PRIMARY KEY, created_at timestamptz, body text, padded char(20), folded citext, named label, number int,
    words text[], card jsonb, bits bytea, written timestamp, day_time time, "50%" text,
    shouted text GENERATED ALWAYS AS (body || '!') STORED
);
CREATE TABLE keyless (id bigint, created_at timestamptz, body text);
CREATE TABLE odd_keys (
    id bigint, created_at timestamptz, body text, maybe int UNIQUE, part int NOT NULL, late int NOT NULL,
    whole int NOT NULL, UNIQUE (late) DEFERRABLE
);
CREATE UNIQUE INDEX ON odd_keys (part) WHERE part > 0;
CREATE UNIQUE INDEX ON odd_keys (abs(whole));
CREATE INDEX ON odd_keys (id);
CREATE TABLE folded_key (id citext PRIMARY KEY, created_at timestamptz, body text);
CREATE VIEW post_view AS SELECT * FROM page;
CREATE MATERIALIZED VIEW post_copy AS SELECT * FROM page;
CREATE SEQUENCE numbers;
CREATE TABLE parent (id bigint PRIMARY KEY, created_at timestamptz, body text);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE no_partition (id bigint PRIMARY KEY, created_at timestamptz, body text) PARTITION BY RANGE (id);
CREATE TABLE look_up (post_id uuid);
"""
CONFIG = """
policy = "{policy}"
[[table]]
name = "public.post"
created_at = "created_at"
columns = {{ body = "text" }}
{more}
[[table]]
name = "public.archive"
created_at = "created_at"
columns = {{ body = "text" }}
[pace]
lanes = 1
"""
PAGE = """
policy = "{policy}"
[[table]]
name = "public.page"
created_at = "created_at"
columns = {{ body = "text" }}
[pace]
lanes = 1
[check]
acknowledge = ["materialized-views"]
"""


@dataclass(frozen=True, slots=True)
class Site:
    """One database for all cases: plan 1 is signed, plan 2 applied by run 1, plan 3 waits for its cutover."""

    job: Job
    signed: Answer
    applied: Answer
    waiting: Answer

    def digest(self, plan: Answer) -> str:
        """The digest that was signed."""
        digest = plan.report["digest"]
        assert isinstance(digest, str)
        return digest


def write(folder: Path, name: str, text: str) -> str:
    """Put a file beside the config; its name."""
    (folder / name).write_text(text, encoding="utf-8")
    return name


def policy_with(folder: Path, name: str, old: str, new: str) -> str:
    """A copy of the policy with one change; its name."""
    text = (config_directory() / POLICY).read_text(encoding="utf-8")
    assert old in text
    return write(folder, name, text.replace(old, new))


@pytest.fixture(scope="module")
def site(server: Server) -> Iterator[Site]:
    """Strange tables, and plans in every state that an apply must refuse."""
    with new_database(server) as dsn, new_folder() as folder:
        job = Job(dsn, folder, CONFIG.format(policy=POLICY, more=""))
        job.execute(SCHEMA)
        later = policy_with(folder, "later.toml", "cutover = 2021-08-02", "cutover = 2921-08-02")
        write(folder, "page.toml", PAGE.format(policy=POLICY))
        write(folder, "waiting.toml", PAGE.format(policy=later))
        job.done("init")
        signed = job.plan()
        job.approve(signed)
        applied = job.plan("--config", "page.toml")
        job.approve(applied)
        job.done("apply", applied.number("plan_id"), "--config", "page.toml")
        waiting = job.plan("--config", "waiting.toml")
        job.approve(waiting)
        yield Site(job, signed, applied, waiting)


@contextmanager
def meanwhile(job: Job, done: str, undone: str) -> Iterator[None]:
    """Change the database for a while, the ledger included."""
    job.tamper(done)
    try:
        yield
    finally:
        job.tamper(undone)


def require_refusal(job: Job, answer: Answer, code: str, *told: str) -> None:
    """One message with the values and a hint, of that code; the exit status follows from its class."""
    statuses = {"1": 1, "2": 2, "3": 3, "5": 5}
    assert answer.codes == [code], answer.err
    assert answer.status == statuses[code[4]]
    assert answer.err.count("HINT: ") == 1
    assert not answer.out
    assert "Traceback" not in answer.err
    assert {part for part in told if part not in answer.err} == set(), answer.err
    assert job.dsn not in answer.err


# ------------------------------------------------------------------- what the config says of the tables

COLUMNS = 'columns = { body = "text" }'


def table(name: str, more: str = "", columns: str = COLUMNS, created_at: str = "created_at") -> str:
    """One table of a config."""
    return f'[[table]]\nname = "public.{name}"\ncreated_at = "{created_at}"\n{columns}\n{more}\n'


def column(name: str, column_format: str = "text") -> str:
    """A config of the strange table with one of its columns."""
    return table("strange", columns=f'columns = {{ "{name}" = "{column_format}" }}')


def by(table_name: str, key: str, own: str) -> str:
    """A config with a look-up."""
    return table("post", f'exempt_by = {{ table = "public.{table_name}", key = "{key}", column = "{own}" }}')


def where(predicate: str) -> str:
    """A config with a predicate."""
    return table("post", f"where = '''{predicate}'''")


CONFIGS = {
    "unknown table": (table("posts"), "CLN-302", ["'public.posts' is not in this database"]),
    "upper case": (table("Post"), "CLN-302", ["'public.Post'", "in the letters the catalog has"]),
    "unknown schema": (
        '[[table]]\nname = "shop.post"\ncreated_at = "created_at"\n' + COLUMNS,
        "CLN-302",
        ["'shop.post'"],
    ),
    "view": (table("post_view"), "CLN-302", ["'public.post_view' is no table but of kind 'v'"]),
    "materialised view": (table("post_copy"), "CLN-302", ["of kind 'm'"]),
    "sequence": (table("numbers"), "CLN-302", ["of kind 'S'"]),
    "inheritance": (table("parent"), "CLN-302", ["has inheriting tables", "public.child"]),
    "no partition": (table("no_partition"), "CLN-302", ["is partitioned and has no partition"]),
    "unknown column": (table("post", columns='columns = { bdy = "text" }'), "CLN-303", ["'bdy'", "body"]),
    "unknown created_at": (table("post", created_at="written"), "CLN-303", ["created_at", "'written'"]),
    "unknown author": (table("post", 'author = "writer"'), "CLN-303", ["author", "'writer'"]),
    "unknown key": (table("post", 'key = ["nr"]'), "CLN-303", ["key", "'nr'", "id, created_at"]),
    "generated": (column("shouted"), "CLN-304", ["'shouted' is generated", "computed from"]),
    "char(n)": (column("padded"), "CLN-304", ["'padded' is character(20), which pads"]),
    "citext": (column("folded"), "CLN-304", ["'folded' is citext"]),
    "domain": (column("named"), "CLN-304", ["'named' is of the domain public.label"]),
    "int": (column("number"), "CLN-304", ["'number' is integer, not text"]),
    "array": (column("words"), "CLN-304", ["'words' is text[], not text"]),
    "bytea": (column("bits"), "CLN-304", ["'bits' is bytea, not text"]),
    "jsonb as text": (column("card"), "CLN-304", ["'card' is jsonb", 'format = "json"']),
    "percent sign": (column("50%"), "CLN-304", ["'50%' holds a percent sign"]),
    "key as text": (table("folded_key", columns='columns = { id = "text" }'), "CLN-30", ["'id'"]),
    "no key": (table("keyless"), "CLN-305", ["'public.keyless' has no primary key", "key = [...]"]),
    "nullable key": (table("odd_keys", 'key = ["maybe"]'), "CLN-305", ["(maybe)", "NOT NULL"]),
    "partial key": (table("odd_keys", 'key = ["part"]'), "CLN-305", ["(part)", "not partial"]),
    "deferrable key": (table("odd_keys", 'key = ["late"]'), "CLN-305", ["(late)", "immediate"]),
    "expression key": (table("odd_keys", 'key = ["whole"]'), "CLN-305", ["(whole)"]),
    "index that is not unique": (table("odd_keys", 'key = ["id"]'), "CLN-305", ["(id)"]),
    "part of a key": (table("archive", 'key = ["id"]'), "CLN-305", ["(id)"]),
    "citext key": (table("folded_key"), "CLN-305", ["'id' is public.citext", "order"]),
    "naive time": (
        table("strange", created_at="written"),
        "CLN-310",
        ["'written' is timestamp without time zone", "Asia/Shanghai"],
    ),
    "no time": (table("strange", created_at="day_time"), "CLN-310", ["'day_time' is time without time zone"]),
    "exempt_by unknown table": (by("live", "id", "id"), "CLN-302", ["'public.live'"]),
    "exempt_by sequence": (by("numbers", "last_value", "id"), "CLN-302", ["'public.numbers'"]),
    "exempt_by unknown key": (by("look_up", "id", "id"), "CLN-303", ["exempt_by.key", "'id'", "post_id"]),
    "exempt_by unknown column": (by("look_up", "post_id", "nr"), "CLN-303", ["exempt_by.column", "'nr'"]),
    "exempt_by that can not be compared": (
        by("look_up", "post_id", "id"),
        "CLN-307",
        ["public.look_up.post_id (uuid)", "'id'"],
    ),
    "subquery": (where("id IN (SELECT post_id FROM look_up)"), "CLN-307", ["where", "subquery", "exempt_by"]),
    "clock": (where("created_at < now()"), "CLN-307", ["created_at < now()"]),
    "stable function": (where("to_char(created_at, 'YY') = '20'"), "CLN-307", ["to_char(), which is not immutable"]),
    "function of the schema": (where("is_shop(body)"), "CLN-307", ["is_shop(), which is no function of pg_catalog"]),
    "aggregate": (where("bool_or(is_live)"), "CLN-307", ["bool_or()"]),
    "comment": (where("is_live -- yes"), "CLN-307", ["holds a comment"]),
    "two statements": (where("true; DELETE FROM post"), "CLN-307", ["more than one statement"]),
    "parentheses that escape": (where("true) OR (true"), "CLN-307", ["is not one expression"]),
    "open parenthesis": (where("(true"), "CLN-307", ["not a valid expression"]),
    "cast to a user's type": (where("kind::mood = 'sad'"), "CLN-307", ["casts to mood"]),
    "column of nobody": (where("is_dead"), "CLN-307", ["is_dead, which is no column of this table"]),
    "alias of ours": (where("t.is_live"), "CLN-307", ["t.is_live, which is no column"]),
    "no boolean": (where("id + 1"), "CLN-307", ["must be type boolean"]),
    "exempt": (table("post", "exempt = 'random() < 0.5'"), "CLN-307", ["exempt", "random(), which is not immutable"]),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_that_does_not_fit_the_database_is_refused(site: Site, case: str) -> None:
    content, code, told = CONFIGS[case]
    job = site.job
    config = write(job.folder, "bad.toml", f'policy = "{POLICY}"\n{content}')
    before = job.checksums()
    answer = job.call("plan", "--config", config)
    require_refusal(job, answer, answer.codes[0] if code == "CLN-30" else code, *told)
    assert answer.codes[0].startswith(code)
    assert job.checksums() == before


FILES = {
    "unknown keys, all at once": (
        table("post", 'colour = "red"') + "[pace]\nspeed = 3\nlanes = 0\n",
        [
            "table[1].colour: unknown key",
            "pace.speed: unknown key; the keys here are batch_rows_max",
            "pace.lanes: is 0, must be from 1 to 64",
        ],
    ),
    "no table": ("", ["table: is missing"]),
    "no column": ('[[table]]\nname = "public.post"\ncreated_at = "created_at"\n', ["table[1].columns: is missing"]),
    "a table twice": (table("post") * 2, ["names 'public.post' twice"]),
    "format": (
        table("post", columns='columns = { body = "pdf" }'),
        ["table[1].columns.body: is 'pdf', must be one of text, html"],
    ),
    "zone": (table("post", 'created_at_time_zone = "Asia/Shanghigh"'), ["is 'Asia/Shanghigh', must be an IANA zone"]),
    "no TOML": ("[[table", ["is not TOML"]),
}


@pytest.mark.parametrize("case", FILES)
def test_a_config_file_with_errors_is_refused_with_all_of_them(site: Site, case: str) -> None:
    content, told = FILES[case]
    config = write(site.job.folder, "bad.toml", f'policy = "{POLICY}"\n{content}')
    before = site.job.checksums()
    require_refusal(site.job, site.job.call("plan", "--config", config), "CLN-201", f"{config}: ", *told)
    assert site.job.checksums() == before


def test_a_missing_file_and_a_bad_policy_are_told_apart(site: Site) -> None:
    job = site.job
    require_refusal(job, job.call("plan", "--config", "none.toml"), "CLN-201", "none.toml", "cannot be read")
    bad = policy_with(job.folder, "bad-policy.toml", 'decision = "redact"', 'decision = "burn"')
    config = write(job.folder, "bad.toml", PAGE.format(policy=bad))
    require_refusal(job, job.call("plan", "--config", config), "CLN-202", "'burn'", "redact")
    config = write(job.folder, "bad.toml", PAGE.format(policy="nowhere.toml"))
    require_refusal(job, job.call("plan", "--config", config), "CLN-201", "'nowhere.toml'", "policy")


# ------------------------------------------------------------------------------- plans that may not run

MORE = 'exempt = "is_live"'
RESTORED = "DELETE FROM cleanup.finding WHERE plan_id = 1; INSERT INTO cleanup.finding SELECT * FROM kept"


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to the database, what undoes it, and what the refusal says."""

    done: str
    undone: str
    code: str
    told: tuple[str, ...]


CHANGES = {
    "approval revoked": Change(
        "UPDATE cleanup.approval SET revoked_at = now(), revoked_by = 'x' WHERE plan_id = 1",
        "UPDATE cleanup.approval SET revoked_at = NULL, revoked_by = NULL",
        "CLN-103",
        ("plan 1 has no approval", "cleanup approve 1 --digest"),
    ),
    "approval expired": Change(
        "UPDATE cleanup.approval SET approved_at = '2020-01-01', expires_at = '2020-01-08' WHERE plan_id = 1",
        "UPDATE cleanup.approval SET approved_at = now(), expires_at = now() + interval '1 day' WHERE plan_id = 1",
        "CLN-104",
        ("by Ana ran out at 2020-01-08",),
    ),
    "approval of another digest": Change(
        "UPDATE cleanup.approval SET digest = '\\xabcd' WHERE plan_id = 1",
        "UPDATE cleanup.approval AS a SET digest = p.digest FROM cleanup.plan AS p WHERE p.plan_id = a.plan_id",
        "CLN-105",
        ("the approval is for digest abcd, plan 1 has ",),
    ),
    "unfinished": Change(
        "UPDATE cleanup.plan SET state = 'scanning', digest = NULL, finished_at = NULL WHERE plan_id = 1",
        "UPDATE cleanup.plan AS p SET state = 'finished', digest = a.digest, finished_at = now()"
        " FROM cleanup.approval AS a WHERE p.plan_id = 1 AND a.plan_id = 1",
        "CLN-102",
        ("plan 1 is scanning",),
    ),
    # The last finding: whoever looks only as he writes has written the others by then.
    "spans tampered with": Change(
        "UPDATE cleanup.finding SET spans = replace(spans, '[[', '[[1') WHERE plan_id = 1 AND key = '[\"20\"]'",
        RESTORED,
        "CLN-105",
        ("the findings of plan 1 make the digest", ": public.post.body 20\n"),
    ),
    "spans of a partition tampered with": Change(
        "UPDATE cleanup.finding SET spans = replace(spans, '[[', '[[1') WHERE plan_id = 1 AND key LIKE '[\"20\",%'",
        RESTORED,
        "CLN-105",
        ("the findings of plan 1 make the digest", ": public.archive_2020.body (20, 2020-01-01 00:00:00+00)\n"),
    ),
    "all spans tampered with": Change(
        "UPDATE cleanup.finding SET spans = replace(spans, '[[', '[[1') WHERE plan_id = 1",
        RESTORED,
        "CLN-105",
        ("the findings of plan 1 make the digest", ": public.", "; public.", "; and 35 more\n"),
    ),
    "words tampered with": Change(
        "ALTER TABLE cleanup.plan DISABLE TRIGGER written_once;"
        "UPDATE cleanup.plan SET words = array_replace(words, '[链接已移除]', 'link') WHERE plan_id = 1",
        "UPDATE cleanup.plan SET words = array_replace(words, 'link', '[链接已移除]') WHERE plan_id = 1;"
        "ALTER TABLE cleanup.plan ENABLE TRIGGER written_once",
        "CLN-105",
        ("the findings of plan 1 make the digest", "or the plan itself was changed"),
    ),
    "hash tampered with": Change(
        "UPDATE cleanup.finding SET finding_hash = sha256(finding_hash) WHERE plan_id = 1 AND key = '[\"20\"]'",
        RESTORED,
        "CLN-105",
        ("findings of plan 1 are not what was signed: public.post.body 20\n",),
    ),
    "pointed at another row": Change(
        "UPDATE cleanup.finding SET key = '[\"19\"]' WHERE plan_id = 1 AND key = '[\"20\"]'",
        RESTORED,
        "CLN-105",
        ("plan 1", ": public.post.body 19\n"),
    ),
    "pointed at no table": Change(
        "UPDATE cleanup.finding SET leaf_number = 99 WHERE plan_id = 1 AND key = '[\"20\"]'",
        RESTORED,
        "CLN-105",
        ("plan 1", ": ?.? 20\n"),
    ),
    "a finding dropped": Change(
        "DELETE FROM cleanup.finding WHERE plan_id = 1 AND key = '[\"20\"]'",
        RESTORED,
        "CLN-105",
        ("the findings of plan 1 make the digest", "some are missing, added or replaced whole"),
    ),
    "a finding twice": Change(
        "INSERT INTO cleanup.finding (plan_id, finding_number, leaf_number, column_number, scope, actionable, refusal,"
        " key, created_at, author, value_hash, finding_hash, spans) SELECT plan_id, finding_number + 500, leaf_number,"
        " column_number, scope, actionable, refusal, key, created_at, author, value_hash, finding_hash, spans"
        " FROM kept WHERE key = '[\"20\"]'",
        RESTORED,
        "CLN-105",
        ("the findings of plan 1 make the digest", "some are missing, added or replaced whole"),
    ),
    "column type": Change(
        "ALTER TABLE post ALTER title TYPE varchar(200)",
        "ALTER TABLE post ALTER title TYPE varchar(100)",
        "CLN-106",
        ("public.post has changed", "columns.title", "character varying(100)", "character varying(200)"),
    ),
    "column added": Change(
        "ALTER TABLE post ADD extra text", "ALTER TABLE post DROP extra", "CLN-106", ("columns.extra: None then",)
    ),
    "trigger": Change(
        "CREATE TRIGGER slow BEFORE UPDATE ON post FOR EACH ROW EXECUTE FUNCTION wait()",
        "DROP TRIGGER slow ON post",
        "CLN-106",
        ("public.post has changed", "slow"),
    ),
    "constraint": Change(
        "ALTER TABLE post ADD CONSTRAINT short CHECK (length(body) < 100)",
        "ALTER TABLE post DROP CONSTRAINT short",
        "CLN-106",
        ("short",),
    ),
    "row security": Change(
        "ALTER TABLE post ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE post DISABLE ROW LEVEL SECURITY",
        "CLN-106",
        ("row_security: False then, True now",),
    ),
    "another table of that name": Change(
        "ALTER TABLE post RENAME TO post_old; CREATE TABLE post (LIKE post_old INCLUDING ALL)",
        "DROP TABLE post; ALTER TABLE post_old RENAME TO post",
        "CLN-106",
        ("public.post has changed", "oid"),
    ),
    "partition attached": Change(
        "ALTER TABLE archive ATTACH PARTITION archive_2019 FOR VALUES FROM ('2019-01-01') TO ('2020-01-01')",
        "ALTER TABLE archive DETACH PARTITION archive_2019",
        "CLN-106",
        ("public.archive_2019 was not there when plan 1 was made",),
    ),
    "partition detached": Change(
        "ALTER TABLE archive ATTACH PARTITION archive_2019 FOR VALUES FROM ('2019-01-01') TO ('2020-01-01');"
        "ALTER TABLE archive DETACH PARTITION archive_2020",
        "ALTER TABLE archive DETACH PARTITION archive_2019;"
        "ALTER TABLE archive ATTACH PARTITION archive_2020 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
        "CLN-106",
        ("public.archive_2020 has changed since the plan: it is gone",),
    ),
    "table gone": Change(
        "ALTER TABLE post RENAME TO posts", "ALTER TABLE posts RENAME TO post", "CLN-302", ("'public.post'",)
    ),
    "newer ledger": Change(
        "INSERT INTO cleanup.migration VALUES (9999, 'future')",
        "DELETE FROM cleanup.migration WHERE migration_number = 9999",
        "CLN-309",
        ("the ledger has migration 9999",),
    ),
}


@pytest.fixture(scope="module")
def kept(site: Site) -> None:
    """The findings of plan 1 as they were signed."""
    site.job.execute("CREATE TABLE kept AS SELECT * FROM cleanup.finding WHERE plan_id = 1")


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("case", CHANGES)
def test_an_apply_of_a_plan_that_is_not_what_was_signed_is_refused(site: Site, case: str) -> None:
    change = CHANGES[case]
    with meanwhile(site.job, change.done, change.undone):
        before = site.job.checksums()
        answer = site.job.call("apply", 1)
        assert site.job.checksums() == before
    require_refusal(site.job, answer, change.code, *change.told)
    assert "taobao" not in answer.err, "a post's text was told"


def test_a_changed_policy_or_config_makes_the_plan_stale(site: Site) -> None:
    job = site.job
    other = policy_with(job.folder, "other.toml", 'placeholder = "[链接已移除]"', 'placeholder = "[gone]"')
    html = CONFIG.format(policy=POLICY, more="").replace('body = "text"', 'body = "html"', 1)
    cases = {
        "the policy has changed: plan 1 has xiaohongshu-2021 1": CONFIG.format(policy=other, more=""),
        'public.post.exempt: null then, "is_live" now': CONFIG.format(policy=POLICY, more=MORE),
        'public.post.columns: [["body", "text"': html,
        "public.archive: removed": PAGE.format(policy=POLICY).replace("page", "post"),
    }
    before = job.checksums()
    for told, content in cases.items():
        config = write(job.folder, "stale.toml", content)
        for words in (("apply", 1), ("plan", "--since", 1)):
            require_refusal(job, job.call(*words, "--config", config), "CLN-106", told)
    assert job.checksums() == before


def test_a_plan_before_its_cutover_is_refused_with_the_time_that_is_left(site: Site) -> None:
    before = site.job.checksums()
    answer = site.job.call("apply", site.waiting.number("plan_id"), "--config", "waiting.toml")
    require_refusal(site.job, answer, "CLN-109", "the cutover is 2921-08-01T16:00:00+00:00", "days", "to go")
    assert site.job.checksums() == before


def test_a_plan_runs_once(site: Site) -> None:
    before = site.job.checksums()
    answer = site.job.call("apply", site.applied.number("plan_id"), "--config", "page.toml")
    require_refusal(site.job, answer, "CLN-108", "plan 2 was applied by run 1, which is finished", "new plan")
    assert site.job.checksums() == before


@pytest.mark.parametrize("digest", ["", "00", "no hex", "the other plan's", "shortened"])
def test_another_digest_than_the_plans_signs_nothing(site: Site, digest: str) -> None:
    own, other = site.digest(site.signed), site.digest(site.applied)
    typed = {"the other plan's": other, "shortened": own[:-2], "": " "}.get(digest, digest)
    before = site.job.checksums()
    answer = site.job.call("approve", 1, "--digest", typed, "--by", "Ana", "--ticket", "CHG-1")
    require_refusal(site.job, answer, "CLN-105", repr(typed), "plan 1")
    assert site.job.checksums() == before


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("CLN-101", "apply 99"),
        ("CLN-101", "approve 99 --digest 00 --by Ana --ticket CHG-1"),
        ("CLN-101", "plan --since 99"),
        ("CLN-110", "verify 99"),
        ("CLN-110", "rollback 99"),
        ("CLN-101", "report 99"),
        ("CLN-110", "report --run 99"),
        ("CLN-110", "status 99"),
        ("CLN-110", "log 99"),
    ],
)
def test_a_plan_or_run_that_is_not_there_is_named(site: Site, code: str, words: str) -> None:
    before = site.job.checksums()
    require_refusal(site.job, site.job.call(*words.split()), code, "99")
    assert site.job.checksums() == before


# ------------------------------------------------------------------------ databases that are not the one


def test_a_copy_of_the_database_is_another_one(server: Server, site: Site) -> None:
    template = _name_of(site.job.dsn)
    with new_database(server, template) as dsn, new_folder() as folder:
        copy = Job(dsn, folder, CONFIG.format(policy=POLICY, more=""))
        write(folder, "page.toml", PAGE.format(policy=POLICY))
        before = copy.checksums()
        for words in ("apply 1", "plan --since 1", "verify 1 --config page.toml", "rollback 1 --config page.toml"):
            require_refusal(copy, copy.call(*words.split()), "CLN-107", repr(template), repr(_name_of(dsn)))
        assert copy.checksums() == before


def test_a_copy_that_takes_the_others_place_proves_and_goes_back_and_applies_nothing(
    server: Server, site: Site
) -> None:
    with new_database(server, _name_of(site.job.dsn)) as dsn, new_folder() as folder:
        copy = Job(dsn, folder, CONFIG.format(policy=POLICY, more=""))
        write(folder, "page.toml", PAGE.format(policy=POLICY))
        assert copy.done("init", "--moved-here", " ", status=2).codes == ["CLN-204"]
        assert copy.execute("SELECT FROM cleanup.relocation") == []
        for reason in ("CHG-7", "CHG-8"):
            copy.done("init", "--moved-here", reason)
        assert copy.execute("SELECT reason, accepted_by = session_user FROM cleanup.relocation") == [("CHG-7", True)]
        for words in ("apply 1", "plan --since 1"):
            assert copy.call(*words.split()).codes == ["CLN-107"]
        before = copy.execute("SELECT id, body FROM page ORDER BY id")
        verified = copy.done("verify", 1, "--config", "page.toml", "--format", "json").report
        # What counts rows by the transactions that wrote them knows nothing of another server's.
        assert verified["sweep"]["rows_read"] == len(before)  # type: ignore[index]  # it is an object
        copy.done("rollback", 1, "--config", "page.toml")
        assert copy.execute("SELECT id, body FROM page ORDER BY id") != before
        copy.done("verify", 2, "--config", "page.toml")


def _name_of(dsn: str) -> str:
    return str(conninfo.conninfo_to_dict(dsn)["dbname"])


LEDGER_VERBS: tuple[tuple[str | int, ...], ...] = (
    ("plan",),
    ("approve", 1, "--digest", "00", "--by", "Ana", "--ticket", "CHG-1"),
    ("apply", 1),
    ("apply", 1, "--rehearse"),
    ("apply", 1, "--wait"),
    ("review", 1),
    ("verify", 1),
    ("rollback", 1),
    ("report", 1),
    ("status",),
    ("log", 1),
    ("log", 1, "--export", "archive"),
    ("log", 1, "--restore", "archive"),
    ("purge", 1),
)


@pytest.mark.parametrize("words", LEDGER_VERBS, ids=lambda words: words[0])
def test_a_database_without_ledger_is_refused(database_dsn: str, tmp_path: Path, words: tuple[str | int, ...]) -> None:
    job = Job(database_dsn, tmp_path, PAGE.format(policy=POLICY))
    require_refusal(job, job.call(*words), "CLN-308", "has no ledger", "cleanup init")
    assert job.checksums() == {}


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_is_not_utf8_is_refused(server: Server, tmp_path: Path, encoding: str) -> None:
    options = f"ENCODING '{encoding}' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
    with new_database(server, "template0", options) as dsn:
        job = Job(dsn, tmp_path, PAGE.format(policy=POLICY))
        verbs: list[tuple[str | int, ...]] = [("init",), *LEDGER_VERBS]
        for words in verbs:
            require_refusal(job, job.call(*words), "CLN-306", encoding, "UTF8")
        assert job.checksums() == {}


ELSEWHERE = {
    "host=/nowhere dbname=posts user=bob password=geheim": ("CLN-501", "to host=/nowhere dbname=posts user=bob: "),
    "postgresql://bob:geheim@127.0.0.1:1/posts": ("CLN-501", "to host=127.0.0.1 port=1 dbname=posts user=bob: "),
    "postgresql://bob:an@geheim@127.0.0.1:1/posts": ("CLN-204", "write @ as %40"),
    "postgresql://bob:an/geheim@127.0.0.1:1/posts": ("CLN-204", "/ as %2F"),
    "host=127.0.0.1 port=1 password=an geheim": ("CLN-204", "can not be read"),
    "postgresql://bob:geheim%zz@127.0.0.1:1/posts": ("CLN-204", "can not be read"),
}


@pytest.mark.parametrize("dsn", ELSEWHERE)
def test_a_database_that_does_not_answer_is_named_without_the_password(tmp_path: Path, dsn: str) -> None:
    job = Job(dsn, tmp_path, PAGE.format(policy=POLICY))
    answer = job.run("plan")
    require_refusal(job, answer, *ELSEWHERE[dsn])
    assert "geheim" not in answer.err
