"""A site for the checks: one table of posts, a ledger, and the results of `cleanup check` by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import conninfo

from tests.integration.jobs import LINK, POLICY, Connection, Job

# In every post, in every trigger, in every password: no result may repeat it.
SECRET: Final = "thesecretword"  # noqa: S105 - no server asks for it

SCHEMA: Final = f"""
CREATE TABLE post (
    id bigint PRIMARY KEY, created_at timestamptz NOT NULL, author_id bigint, updated_at timestamptz, lock_version int,
    title text, body text
);
INSERT INTO post SELECT n, '2020-05-01', n % 7, '2020-05-01', 1, 'title', '{SECRET} {LINK}'
  FROM generate_series(1, 20) AS n;
"""


@dataclass(frozen=True, slots=True)
class Result:
    """One result as the JSON has it."""

    name: str
    subject: str
    level: str
    value: str
    hint: str
    acknowledged: bool


class Site:
    """The job, its config in parts, and the checks' results; `role` takes the superuser's place."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.configure()

    def configure(
        self,
        table: str = "",
        check: str = "",
        columns: str = 'body = "text"',
        name: str = "public.post",
        lanes: int = 1,
        more: str = "",
    ) -> None:
        """Write the config anew: lines of the [[table]], of [check], the columns, and whatever else."""
        self.job.config_file.write_text(
            f"""policy = "{POLICY}"
[pace]
lanes = {lanes}
[check]
{check}
[[table]]
name = "{name}"
created_at = "created_at"
{table}
[table.columns]
{columns}
{more}
""",
            encoding="utf-8",
        )

    def results(self, role: str | None = None) -> list[Result]:
        """Every result, as that role sees it."""
        dsn = conninfo.make_conninfo(self.job.dsn, password=SECRET, **({"user": role} if role else {}))
        answer = self.job.call("check", "--format", "json", dsn=dsn)
        assert answer.status in (0, 3), answer.err
        found = answer.report["results"]
        assert isinstance(found, list)
        results = [Result(**one) for one in found]
        assert SECRET not in answer.out + answer.err
        assert (answer.status == 3) == any(one.level == "block" for one in results)
        assert answer.codes == (["CLN-313"] if answer.status else [])
        assert all(one.value for one in results)
        assert all(one.hint for one in results if one.level != "ok")
        return results

    def check(self, name: str, role: str | None = None) -> list[Result]:
        """The results of one name."""
        return [one for one in self.results(role) if one.name == name]

    def one(self, name: str, level: str, role: str | None = None) -> Result:
        """The one result of that name, which has that level."""
        found = self.check(name, role)
        assert [one.level for one in found] == [level], found
        return found[0]

    @contextmanager
    def meanwhile(self, done: str, undone: str) -> Iterator[None]:
        """Have something done in the database, and undone at the end."""
        self.job.execute(done)
        try:
            yield
        finally:
            self.job.execute(undone)

    @contextmanager
    def session(self, *statements: str) -> Iterator[Connection]:
        """Somebody else's open transaction in which these were run; rolled back at the end."""
        with psycopg.connect(self.job.dsn) as connection:
            for statement in statements:
                connection.execute(statement.encode())
            yield connection
            connection.rollback()

    @contextmanager
    def role(self, *grants: str) -> Iterator[str]:
        """A role with these rights; `{role}` is its name in them."""
        name = f"checker_{conninfo.conninfo_to_dict(self.job.dsn)['dbname']}"
        self.job.execute(f"CREATE ROLE {name} LOGIN")
        try:
            for grant in grants:
                self.job.execute(grant.replace("{role}", name))
            yield name
        finally:
            self.job.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


READS_ALL: Final = (
    "GRANT USAGE ON SCHEMA cleanup TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA cleanup, public TO {role}",
)
WRITES_LEDGER: Final = "GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA cleanup TO {role}"


def new_site(job: Job) -> Site:
    """The posts and the ledger in the job's empty database."""
    job.execute(SCHEMA)
    job.done("init")
    return Site(job)
