"""A site for the checks: one table of posts, a ledger, and the results of `cleanup check` by name."""

from dataclasses import dataclass
from typing import Final

from tests.integration.jobs import LINK, POLICY, Job

SCHEMA: Final = f"""
CREATE TABLE post (
    id bigint PRIMARY KEY, created_at timestamptz NOT NULL, author_id bigint, updated_at timestamptz, lock_version int,
    title text, body text
);
INSERT INTO post SELECT n, '2020-05-01', n % 7, '2020-05-01', 1, 'title', '{LINK}' FROM generate_series(1, 20) AS n;
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
    """The job, its config in parts, and the checks' results."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.configure()

    def configure(self, table: str = "", check: str = "", columns: str = 'body = "text"', more: str = "") -> None:
        """Write the config anew: lines of the [[table]], of [check], the columns, and whatever else."""
        self.job.config_file.write_text(
            f"""policy = "{POLICY}"
[pace]
lanes = 1
[check]
{check}
[[table]]
name = "public.post"
created_at = "created_at"
{table}
[table.columns]
{columns}
{more}
""",
            encoding="utf-8",
        )

    def check(self, name: str, *, status: int | None = None) -> list[Result]:
        """The results of that name."""
        answer = self.job.call("check", "--format", "json")
        assert answer.status in ((0, 3) if status is None else (status,)), answer.err
        found = answer.report["results"]
        assert isinstance(found, list)
        results = [Result(**one) for one in found]
        assert (answer.status == 3) == any(one.level == "block" for one in results)
        assert all(one.value for one in results)
        assert all(one.hint for one in results if one.level != "ok")
        return [one for one in results if one.name == name]

    def one(self, name: str, level: str, subject: str | None = None) -> Result:
        """The one result of that name at that level."""
        found = [one for one in self.check(name) if one.level == level and subject in (None, one.subject)]
        assert len(found) == 1, found
        return found[0]


def new_site(job: Job) -> Site:
    """The posts and the ledger in the job's empty database."""
    job.execute(SCHEMA)
    job.done("init")
    return Site(job)
