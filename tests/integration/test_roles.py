"""sql/roles.sql: each role does its part of a whole job, and can do nothing of the others'."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import conninfo, sql

from cleanup.demo.server import Server
from cleanup.resources import sql_directory
from tests.integration.jobs import LINK, POLICY, REPOSITORY, Answer, Job, new_database, new_folder

OWNER: Final = "ledger_owner"
GROUPS: Final = ("cleanup_planner", "cleanup_approver", "cleanup_operator", "cleanup_auditor")
PEOPLE: Final = {group: group.replace("cleanup", "test") for group in GROUPS}
PLANNER, APPROVER, OPERATOR, AUDITOR = GROUPS

CONFIG: Final = f"""
policy = "{POLICY}"
[[table]]
name = "public.note"
created_at = "created_at"
author = "author_id"
exempt = "is_live"
columns = {{ title = "text", body = "text" }}
[pace]
batch_rows_max = 10
[check]
acknowledge = []
"""
POSTS: Final = """
CREATE TABLE note (
    id bigint PRIMARY KEY, created_at timestamptz, author_id bigint, is_live boolean, title text, body text
);
INSERT INTO note SELECT n, '2021-01-01', n, false, 'note ' || n, 'see {link} ' || n FROM generate_series(1, 50) AS n
"""
EVIDENCE: Final = (
    "plan", "finding", "review", "review_decision", "approval", "run", "batch", "outcome", "conflict", "deferral",
    "change_log", "event", "export", "purge", "restoration", "wal_mark",
)  # fmt: skip
PRIVILEGES: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


@dataclass(frozen=True, slots=True)
class Site:
    """One database, seen by the superuser, by the ledger's owner, and by a person of each role."""

    job: Job
    owner: Job
    people: Mapping[str, Job]

    def by(self, group: str) -> Job:
        """The job as somebody of that role runs it."""
        return self.people[group]


def as_role(job: Job, role: str) -> Job:
    return Job(conninfo.make_conninfo(job.dsn, user=role), job.folder, CONFIG)


def create_role(job: Job, role: str) -> None:
    # Roles outlive the databases of these tests: another test of this server may have made it.
    with suppress(psycopg.errors.DuplicateObject):
        job.execute(f"CREATE ROLE {role} LOGIN")


def page_sql() -> str:
    """What the page tells a DBA to grant on the posts."""
    page = (REPOSITORY / "runbooks" / "privileges.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert isinstance(block, str)
    return block


@pytest.fixture(scope="module")
def site(server: Server) -> Iterator[Site]:
    """A ledger that is no superuser's, and roles.sql run on it: by psql first, by its owner through psycopg again."""
    with new_database(server) as dsn, new_folder() as folder:
        job = Job(dsn, folder, CONFIG)
        for role in (OWNER, *PEOPLE.values()):
            create_role(job, role)
        job.execute(POSTS.format(link=LINK))
        job.execute(f"GRANT CREATE ON DATABASE {conninfo.conninfo_to_dict(dsn)['dbname']} TO {OWNER}")
        owner = as_role(job, OWNER)
        owner.done("init")
        psql = [server.program("psql"), "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "--dbname", dsn, "-f"]
        subprocess.run([*psql, str(sql_directory() / "roles.sql")], check=True, capture_output=True)
        owner.execute(roles_sql())
        for group, person in PEOPLE.items():
            job.execute(f"GRANT {group} TO {person}")
        job.execute(page_sql())
        yield Site(job, owner, {group: as_role(job, person) for group, person in PEOPLE.items()})


def roles_sql() -> str:
    return (sql_directory() / "roles.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Done:
    """What came of the whole job."""

    plan: Answer
    run: Answer
    rollback: Answer


@pytest.fixture(scope="module")
def done(site: Site) -> Done:
    """Plan, approve, apply, verify and roll back, each by the role whose part it is."""
    before = site.job.checksums()["note"]
    plan = site.by(PLANNER).plan()
    site.by(PLANNER).done("report", plan.number("plan_id"))
    site.by(OPERATOR).done("apply", plan.number("plan_id"), "--rehearse")
    site.by(APPROVER).done("report", plan.number("plan_id"))
    site.by(APPROVER).approve(plan)
    run = site.by(OPERATOR).done("apply", plan.number("plan_id"), "--format", "json")
    assert site.job.number("SELECT count(*) FROM note WHERE body LIKE %s", f"%{LINK}%") == 0
    site.by(AUDITOR).verify(run)
    site.by(OPERATOR).verify(run)
    rollback = site.by(OPERATOR).roll_back(run)
    assert site.job.checksums()["note"] == before
    return Done(plan, run, rollback)


@pytest.fixture(scope="module")
def signed(site: Site, done: Done) -> Answer:
    """A plan that is approved and not applied: nothing but a missing right is in the way."""
    del done
    plan = site.by(PLANNER).plan()
    site.by(APPROVER).approve(plan)
    return plan


def test_each_role_does_its_part_of_a_whole_job(site: Site, done: Done) -> None:
    signatures = "SELECT p.planned_by, a.approved_by, r.started_by FROM cleanup.plan AS p"
    joined = " JOIN cleanup.approval AS a USING (plan_id) JOIN cleanup.run AS r USING (approval_id)"
    assert site.job.execute(signatures + joined) == [("test_planner", "test_approver", "test_operator")]
    site.by(AUDITOR).verify(done.rollback)
    for group in GROUPS:
        person = site.by(group)
        assert str(done.run.number("run_id")) in person.done("status").out
        assert "finished" in person.done("status", done.run.number("run_id")).out
        assert "finished" in person.done("report", "--run", done.rollback.number("run_id")).out


def test_the_operator_shows_and_exports_the_log_and_the_auditor_shows_it(site: Site, done: Done) -> None:
    run_id = done.run.number("run_id")
    shown = site.by(OPERATOR).done("log", run_id).out
    assert len(shown.splitlines()) == 50
    assert site.by(AUDITOR).done("log", run_id).out == shown
    site.by(OPERATOR).done("log", run_id, "--export", "archive")
    for group in (PLANNER, APPROVER):
        assert site.by(group).done("log", run_id, status=3).codes == ["CLN-312"]


def test_the_operator_finds_nothing_missing_for_a_run(site: Site, done: Done) -> None:
    del done
    results = site.by(OPERATOR).call("check", "--format", "json").report["results"]
    assert isinstance(results, list)
    levels = {result["name"]: result["level"] for result in results}
    wanted = ("ledger-privileges", "read-privileges", "write-privileges", "write-statement")
    assert {name: levels[name] for name in wanted} == dict.fromkeys(wanted, "ok")


def test_the_operator_holds_a_run_up_and_ends_it(site: Site, done: Done) -> None:
    del done
    plan = site.by(PLANNER).plan()
    site.by(APPROVER).approve(plan)
    number = plan.number("plan_id")
    run_id = site.by(OPERATOR).done("apply", number, "--format", "json").number("run_id")
    site.job.tamper(
        "UPDATE cleanup.run SET state = 'interrupted', finished_at = NULL, log_head = NULL WHERE run_id = %s", run_id
    )
    for group in (PLANNER, APPROVER, AUDITOR):
        assert site.by(group).done("cancel", run_id, "--reason", "x", status=3).codes == ["CLN-312"]
    site.by(OPERATOR).done("cancel", run_id, "--reason", "enough")
    site.by(OPERATOR).roll_back(Answer(0, f'{{"run_id": {run_id}}}', ""))


def test_the_operator_does_by_psql_what_the_verbs_do(site: Site, done: Done) -> None:
    del done
    plan = site.by(PLANNER).plan()
    site.by(APPROVER).approve(plan)
    before = site.job.checksums()["note"]
    site.by(OPERATOR).done("apply", plan.number("plan_id"), "--canary", 20, status=4)
    run_id = site.job.number("SELECT max(run_id) FROM cleanup.run")
    operator = site.by(OPERATOR)
    for other in (AUDITOR, APPROVER, PLANNER):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            site.by(other).execute(f"SELECT cleanup.ask_of_run({run_id}, 'pause', 'x', 'x')")
    for wish in ("pause_run", "resume_run", "cancel_run"):
        assert operator.execute(f"CALL cleanup.{wish}({run_id}, 'x')") != []
    ((rollback,),) = operator.execute(f"CALL cleanup.roll_back_run({run_id}, 'x')")
    assert site.job.checksums()["note"] == before
    site.by(AUDITOR).done("verify", str(rollback))
    marks = site.job.execute(
        "SELECT moment, restore_point, note FROM cleanup.wal_mark WHERE run_id = %s ORDER BY lsn", rollback
    )
    assert marks == [(moment, f"cleanup_run_{rollback}_{moment}", None) for moment in ("start", "end")]
    by_role = site.job.execute("SELECT DISTINCT by_role FROM cleanup.event WHERE run_id IN (%s, %s)", run_id, rollback)
    assert by_role == [("test_operator",)]


@pytest.mark.parametrize("file", sorted((sql_directory() / "reports").glob("*.sql")), ids=lambda file: str(file.stem))
def test_each_role_can_run_the_reports(server: Server, site: Site, done: Done, file: Path) -> None:
    del done
    for person in site.people.values():
        words = ["--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "--dbname", person.dsn, "-f", str(file)]
        subprocess.run([server.program("psql"), *words], check=True, capture_output=True)


def test_the_planner_reviews_and_the_approver_signs_what_came_of_it(site: Site, done: Done) -> None:
    del done
    site.job.execute("INSERT INTO note VALUES (100, '2021-01-01', 1, false, 'x', 'see http://xhslink.com/AbCdE')")
    plan = site.by(PLANNER).plan().number("plan_id")
    site.by(PLANNER).done("review", plan, "--export", str(site.job.folder / "review.jsonl"))
    files = {decision: site.job.folder / f"{decision}.jsonl" for decision in ("redact", "keep")}
    for decision, file in files.items():
        file.write_text(f'{{"host": "xhslink.com", "decision": "{decision}"}}', encoding="utf-8")
    words = ("--by", "Mei", "--format", "json")
    reviewed = site.by(PLANNER).done("review", plan, "--import", str(files["redact"]), *words)
    planned = "SELECT planned_by FROM cleanup.plan WHERE plan_id = %s"
    assert site.job.execute(planned, reviewed.number("plan_id")) == [("test_planner",)]
    site.by(APPROVER).approve(reviewed)
    for group in (APPROVER, OPERATOR, AUDITOR):
        refused_import = site.by(group).done("review", plan, "--import", str(files["keep"]), *words, status=3)
        assert refused_import.codes == ["CLN-312"]
    site.job.execute("DELETE FROM note WHERE id = 100")


@pytest.mark.parametrize(
    ("group", "words"),
    [
        (PLANNER, "approve PLAN --digest DIGEST --by Ana --ticket CHG-1"),
        (PLANNER, "apply PLAN"),
        (PLANNER, "rollback RUN"),
        (PLANNER, "purge RUN --force --reason x"),
        (APPROVER, "plan"),
        (APPROVER, "apply PLAN"),
        (APPROVER, "rollback RUN"),
        (APPROVER, "purge RUN --force --reason x"),
        (OPERATOR, "approve PLAN --digest DIGEST --by Ana --ticket CHG-1"),
        (OPERATOR, "plan"),
        (OPERATOR, "purge RUN --force --reason x"),
        (AUDITOR, "plan"),
        (AUDITOR, "approve PLAN --digest DIGEST --by Ana --ticket CHG-1"),
        (AUDITOR, "apply PLAN"),
        (AUDITOR, "rollback RUN"),
        (AUDITOR, "log RUN --export stolen"),
        (AUDITOR, "purge RUN --force --reason x"),
    ],
)
def test_the_verbs_of_others_are_refused_and_change_nothing(
    site: Site, done: Done, signed: Answer, group: str, words: str
) -> None:
    given = {"PLAN": signed.report["plan_id"], "RUN": done.run.report["run_id"], "DIGEST": signed.report["digest"]}
    before = site.job.checksums()
    answer = site.by(group).call(*(str(given.get(word, word)) for word in words.split()))
    assert (answer.status, len(answer.codes)) == (3, 1), answer.err
    assert answer.codes[0] in ("CLN-312", "CLN-313", "CLN-302")
    assert "permission denied" in answer.err or "may not" in answer.err or "privilege" in answer.err
    assert site.job.checksums() == before


@pytest.mark.parametrize(
    ("group", "statement"),
    [
        (PLANNER, "UPDATE note SET body = ''"),
        (PLANNER, "SELECT FROM note FOR UPDATE"),
        (PLANNER, "SELECT edits FROM cleanup.change_log"),
        (PLANNER, "SELECT salt FROM cleanup.change_log"),
        (PLANNER, "INSERT INTO cleanup.approval (plan_id, digest, approver, ticket, expires_at)"
                  " SELECT plan_id, digest, 'x', 'x', now() + interval '1 day' FROM cleanup.plan"),
        (PLANNER, "UPDATE cleanup.plan SET cutover = now()"),
        (PLANNER, "UPDATE cleanup.plan SET planned_by = 'somebody'"),
        (PLANNER, "INSERT INTO cleanup.run (kind) VALUES ('apply')"),
        (PLANNER, "SELECT cleanup.add_log_partition(1)"),
        (PLANNER, "CALL cleanup.pause_run(1)"),
        (PLANNER, "CALL cleanup.roll_back_run(1)"),
        (APPROVER, "UPDATE note SET body = ''"),
        (APPROVER, "SELECT edits FROM cleanup.change_log"),
        (APPROVER, "INSERT INTO cleanup.approval (plan_id, digest, approver, ticket, expires_at, approved_by)"
                   " SELECT plan_id, digest, 'x', 'x', now() + interval '1 day', 'somebody' FROM cleanup.plan"),
        (APPROVER, "UPDATE cleanup.approval SET digest = ''"),
        (APPROVER, "UPDATE cleanup.plan SET state = 'abandoned'"),
        (APPROVER, "SELECT cleanup.add_finding_partition(1)"),
        (APPROVER, "CALL cleanup.resume_run(1)"),
        (APPROVER, "CALL cleanup.roll_back_run(1)"),
        (OPERATOR, "UPDATE note SET created_at = now()"),
        (OPERATOR, "UPDATE note SET is_live = true"),
        (OPERATOR, "INSERT INTO note (id) VALUES (1000)"),
        (OPERATOR, "DELETE FROM note"),
        (OPERATOR, "INSERT INTO cleanup.approval (plan_id, digest, approver, ticket, expires_at)"
                   " SELECT plan_id, digest, 'x', 'x', now() + interval '1 day' FROM cleanup.plan"),
        (OPERATOR, "UPDATE cleanup.approval SET revoked_at = NULL"),
        (OPERATOR, "UPDATE cleanup.plan SET digest = ''"),
        (OPERATOR, "INSERT INTO cleanup.finding SELECT * FROM cleanup.finding"),
        (OPERATOR, "UPDATE cleanup.finding SET spans = '[]'"),
        (OPERATOR, "UPDATE cleanup.change_log SET edits = '[]'"),
        (OPERATOR, "DELETE FROM cleanup.change_log"),
        (OPERATOR, "TRUNCATE cleanup.change_log"),
        (OPERATOR, "DROP TABLE cleanup.change_log_1"),
        (OPERATOR, "ALTER TABLE cleanup.change_log DISABLE TRIGGER ALL"),
        (OPERATOR, "SET session_replication_role = replica"),
        (OPERATOR, "UPDATE cleanup.run SET planned = 0"),
        (OPERATOR, "UPDATE cleanup.batch SET after_number = 0"),
        (OPERATOR, "INSERT INTO cleanup.event (name, by_role) VALUES ('x', 'somebody')"),
        (OPERATOR, "INSERT INTO cleanup.purge (run_id) VALUES (1)"),
        (OPERATOR, "SELECT cleanup.purge_run(1, 'x')"),
        (OPERATOR, "CREATE TABLE cleanup.mine ()"),
        (OPERATOR, "UPDATE cleanup.wal_mark SET lsn = '0/0'"),
        (OPERATOR, "INSERT INTO cleanup.wal_mark (run_id, moment, lsn, note, marked_at)"
                   " VALUES (1, 'end', '0/0', '', now())"),
        (AUDITOR, "UPDATE note SET body = ''"),
        (AUDITOR, "INSERT INTO cleanup.event (name) VALUES ('x')"),
        (AUDITOR, "UPDATE cleanup.run SET state = 'cancelled'"),
        (AUDITOR, "CALL cleanup.cancel_run(1)"),
        (AUDITOR, "CALL cleanup.roll_back_run(1)"),
        # Past the procedures themselves: what they call has the caller's rights.
        (AUDITOR, "SELECT cleanup.close_run(1, 'cancelled')"),
        (AUDITOR, "SELECT cleanup.open_rollback(1, 'x')"),
        (AUDITOR, "SELECT cleanup.mark_wal(1, 'end')"),
    ],
)  # fmt: skip
def test_statements_of_others_are_refused(site: Site, done: Done, group: str, statement: str) -> None:
    del done
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        site.by(group).execute(statement)


def ledger_tables(site: Site, *, partitions: bool) -> list[str]:
    rows = site.job.execute(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'cleanup'::regnamespace"
        " AND relkind IN ('r', 'p') AND relispartition = %s ORDER BY 1",
        partitions,
    )
    return [str(name) for (name,) in rows]


def rights(site: Site, group: str, table: str) -> set[str]:
    """What a role may do with some column or the whole of a table."""
    query = """SELECT p FROM unnest(%s::text[]) AS p WHERE CASE WHEN p IN ('DELETE', 'TRUNCATE', 'TRIGGER')
                 THEN has_table_privilege(%s, %s, p) ELSE has_any_column_privilege(%s, %s, p) END"""
    name = f"cleanup.{table}"
    return {str(right) for (right,) in site.job.execute(query, list(PRIVILEGES), group, name, group, name)}


def test_nobody_may_change_or_delete_evidence_and_the_auditor_reads_all_of_it(site: Site, done: Done) -> None:
    del done
    twice = {"plan": PLANNER, "approval": APPROVER, "run": OPERATOR, "batch": OPERATOR}
    writers = {"chunk": PLANNER, "run_chunk": OPERATOR, "control": OPERATOR, "throttle": OPERATOR} | twice
    for table in ledger_tables(site, partitions=False):
        held = {group: rights(site, group, table) for group in GROUPS}
        assert held[AUDITOR] == {"SELECT"}, table
        for group in GROUPS:
            allowed = {"SELECT", "INSERT"} | ({"UPDATE"} if writers.get(table) == group else set())
            assert held[group] <= allowed, (group, table)
        if table != "event":
            assert sum("INSERT" in some for some in held.values()) <= 1, table
    assert set(EVIDENCE) <= set(ledger_tables(site, partitions=False))


def test_new_partitions_are_reached_through_their_table_and_by_nobody_directly(site: Site, done: Done) -> None:
    del done
    partitions = ledger_tables(site, partitions=True)
    assert {"change_log_1", "change_log_2", "finding_1"} <= set(partitions)
    for partition in partitions:
        assert [rights(site, group, partition) for group in GROUPS] == [set()] * 4, partition


def test_nobody_else_has_any_right(site: Site) -> None:
    create_role(site.job, "test_nobody")
    nobody = as_role(site.job, "test_nobody")
    for table in ledger_tables(site, partitions=False):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            nobody.execute(f"SELECT FROM cleanup.{table}")
    definers = site.job.execute(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'cleanup'::regnamespace AND prosecdef"
        " AND (has_function_privilege('test_nobody', oid, 'EXECUTE') OR proconfig IS NULL)"
    )
    assert definers == []


def test_a_second_run_of_the_file_changes_nothing(site: Site) -> None:
    query = """SELECT relname::text, relacl::text FROM pg_class WHERE relnamespace = 'cleanup'::regnamespace
               UNION ALL SELECT attrelid::regclass || '.' || attname, attacl::text FROM pg_attribute
                WHERE attacl IS NOT NULL AND attrelid IN
                      (SELECT oid FROM pg_class WHERE relnamespace = 'cleanup'::regnamespace)
               UNION ALL SELECT proname, proacl::text FROM pg_proc WHERE pronamespace = 'cleanup'::regnamespace
               ORDER BY 1, 2"""
    site.owner.execute("GRANT DELETE ON cleanup.change_log TO cleanup_operator")
    wider = site.job.execute(query)
    site.owner.execute(roles_sql())
    before = site.job.execute(query)
    site.owner.execute(roles_sql())
    assert site.job.execute(query) == before != wider


def test_who_may_not_create_roles_needs_them_to_be_there_already(server: Server, site: Site) -> None:
    del site
    with new_database(server) as dsn, new_folder() as folder:
        job = Job(dsn, folder, CONFIG)
        job.execute(f"GRANT CREATE ON DATABASE {conninfo.conninfo_to_dict(dsn)['dbname']} TO {OWNER}")
        owner = as_role(job, OWNER)
        owner.done("init")
        owner.execute(roles_sql())
        there = "SELECT count(*) FROM pg_roles WHERE rolname = ANY (%s) AND NOT rolcanlogin"
        assert job.number(there, list(GROUPS)) == 4


def refused(job: Job, statement: str) -> psycopg.errors.Error:
    with pytest.raises(psycopg.Error) as caught:
        job.execute(statement)
    assert caught.value.sqlstate == "CL002", caught.value
    return caught.value


# A row to try it on, where the runs leave none.
MADE_UP: Final = {
    "review": "INSERT INTO cleanup.review (plan_id, reviewed_plan_id, reviewer, file_sha256) VALUES (99, 1, 'x', '')",
    "review_decision": "INSERT INTO cleanup.review_decision VALUES (99, 1, 1, 'keep', 1)",
    "outcome": "INSERT INTO cleanup.outcome VALUES (1, 1, 0, 'row_gone')",
    "conflict": "INSERT INTO cleanup.conflict VALUES (1, 1, 0, 'not_found')",
    "deferral": "INSERT INTO cleanup.deferral VALUES (1, 1, 1)",
    "export": "INSERT INTO cleanup.export (run_id, place, format, sha256, log_rows) VALUES (1, 'x', 'csv', '', 1)",
    "purge": "INSERT INTO cleanup.purge (run_id, log_rows, log_head, findings, retain_until, forced, reason)"
             " VALUES (1, 1, '', 1, now(), true, 'x')",
    "restoration": "INSERT INTO cleanup.restoration (purge_id, export_id, log_rows) VALUES (99, 99, 1)",
}  # fmt: skip


@pytest.mark.parametrize("role", ["postgres", OWNER])
@pytest.mark.parametrize("table", EVIDENCE)
def test_even_the_owner_and_the_superuser_are_stopped(site: Site, done: Done, table: str, role: str) -> None:
    del done
    partitions = [name for name in (f"{table}_1",) if name in ledger_tables(site, partitions=True)]
    assert bool(partitions) == (table in ("finding", "change_log"))
    ((column,),) = site.job.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 2", f"cleanup.{table}"
    )
    with psycopg.connect(site.job.dsn) as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        if table in MADE_UP:
            connection.execute(MADE_UP[table].encode())
        connection.execute("SET LOCAL session_replication_role = origin")
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        for name in (table, *partitions):
            for verb, statement in (
                ("DELETE", f"DELETE FROM cleanup.{name}"),
                ("UPDATE", f"UPDATE cleanup.{name} SET {column} = {column}"),
                ("TRUNCATE", f"TRUNCATE cleanup.{name} CASCADE"),
            ):
                with pytest.raises(psycopg.Error) as caught, connection.transaction():
                    connection.execute(statement.encode())
                assert caught.value.sqlstate == "CL002", caught.value
                assert f"is evidence: {verb} is refused" in str(caught.value)
                assert caught.value.diag.message_hint
        connection.rollback()


def test_an_approval_is_revoked_once_and_is_nothing_else_but_what_was_signed(site: Site) -> None:
    plan = site.by(PLANNER).plan()
    site.by(APPROVER).approve(plan)
    where = f"WHERE plan_id = {plan.number('plan_id')}"
    error = refused(site.owner, f"UPDATE cleanup.approval SET digest = '\\x00' {where}")
    assert "cleanup approve --revoke" in str(error.diag.message_hint)
    revoked = "revoked_at = now(), revoked_by = session_user"
    refused(site.owner, f"UPDATE cleanup.approval SET {revoked}, ticket = 'y' {where}")
    refused(site.by(APPROVER), f"UPDATE cleanup.approval SET revoked_at = now(), revoked_by = 'somebody' {where}")
    site.by(APPROVER).done("approve", plan.number("plan_id"), "--revoke", "--by", "Ana", "--reason", "a doubt")
    refused(site.owner, f"UPDATE cleanup.approval SET {revoked} {where}")
    assert site.by(OPERATOR).done("apply", plan.number("plan_id"), status=1).codes == ["CLN-103"]


def test_a_batch_is_settled_by_its_own_transaction_alone(site: Site, done: Done) -> None:
    settle = "UPDATE cleanup.batch SET head = '\\x00', outcomes = '{}'"
    assert "settled once" in str(refused(site.by(OPERATOR), settle).diag.message_hint)
    opened = f"""INSERT INTO cleanup.batch
                        (run_id, pass, after_number, through_number, chunk_number, attempt, lane, findings)
                 VALUES ({done.run.number("run_id")}, 9, 1, 2, 1, 1, 1, 1)"""
    with psycopg.connect(site.by(OPERATOR).dsn) as connection:
        connection.execute(opened.encode())
        connection.execute("UPDATE cleanup.batch SET head = '\\x00' WHERE pass = 9")
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("UPDATE cleanup.batch SET head = '\\x01' WHERE pass = 9")
        assert caught.value.sqlstate == "CL002"
        connection.rollback()
        connection.execute(opened.encode())
        connection.commit()
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("UPDATE cleanup.batch SET head = '\\x00' WHERE pass = 9")
        assert caught.value.sqlstate == "CL002"
        connection.rollback()
    site.job.tamper("DELETE FROM cleanup.batch WHERE pass = 9")


def test_no_trigger_makes_an_insert_dearer(site: Site, done: Done) -> None:
    del done
    on_insert = """SELECT tgrelid::regclass::text, tgname FROM pg_trigger
                    WHERE NOT tgisinternal AND tgtype & 4 <> 0
                      AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'cleanup'::regnamespace)"""
    assert site.job.execute(on_insert) == []


def test_who_is_given_it_purges_and_nobody_else(site: Site, done: Done) -> None:
    """The last test: it takes the log away."""
    create_role(site.job, "test_records_officer")
    site.job.execute(f"GRANT {AUDITOR} TO test_records_officer")
    site.owner.execute(
        sql.SQL("GRANT EXECUTE ON FUNCTION cleanup.purge_run(bigint, text) TO {}")
        .format(sql.Identifier("test_records_officer"))
        .as_string(None)
    )
    officer = as_role(site.job, "test_records_officer")
    run_id = done.rollback.number("run_id")
    officer.done("purge", run_id, "--force", "--reason", "asked to")
    proof = site.job.execute("SELECT purged_by FROM cleanup.purge WHERE reason = 'asked to'")
    assert proof == [("test_records_officer",)]
    assert f"change_log_{run_id}" not in ledger_tables(site, partitions=True)
