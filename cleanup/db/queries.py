"""Named queries from `sql/queries/*.sql`: loaded once, composed with identifiers, traced by a comment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from psycopg import sql

from cleanup.log import bound_values
from cleanup.resources import sql_directory

_HEADER: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_SPOT: Final = re.compile(r"/\*\{(\w+)\}\*/.*?/\*\{/\1\}\*/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """One query of a file: `name` is file.query, `why` its comment, `text` valid SQL as it stands."""

    name: str
    why: str
    text: str

    @property
    def spots(self) -> frozenset[str]:
        """The names of the template spots, which a caller has to fill."""
        return frozenset(match[1] for match in _SPOT.finditer(self.text))


@cache
def named_queries() -> Mapping[str, NamedQuery]:
    """Every query of every file, by its full name."""
    found: dict[str, NamedQuery] = {}
    for file in sorted((sql_directory() / "queries").glob("*.sql")):
        pieces = _HEADER.split(file.read_text(encoding="utf-8"))
        for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
            lines = body.strip().splitlines()
            why = [line for line in lines if line.startswith("--")]
            text = "\n".join(line for line in lines if not line.startswith("--"))
            full_name = f"{file.stem}.{name}"
            found[full_name] = NamedQuery(
                full_name, " ".join(line[2:].strip() for line in why), text.strip().removesuffix(";")
            )
    return found


def statement(name: str, /, **fragments: sql.Composable) -> sql.Composed:
    """The named query with its template spots filled, led by a comment: its name, and the run or plan at work.

    Raises KeyError where a spot is not filled or a fragment has no spot: both are bugs of ours.
    """
    return _compose(name, comment(name), fragments)


def run_statement(name: str, run_id: int, /, **fragments: sql.Composable) -> sql.Composed:
    """The same for a query about one run, which the comment names whatever is at work."""
    return _compose(name, _comment(f"{name} run={int(run_id)}"), fragments)


def comment(name: str) -> sql.SQL:
    """What leads a statement, so that pg_stat_activity and the server's log say where it comes from.

    No statement of ours is prepared under a name, so that its text may differ from run to run; and
    pg_stat_statements, which looks at the parsed statement, still has one row for all runs of a query.
    """
    values = bound_values()
    return _comment(" ".join([name, *(f"{kind}={values[kind]}" for kind in ("run", "plan") if kind in values)]))


def _comment(words: str) -> sql.SQL:
    return literal_sql(f"/* cleanup:{words} */ ")


def _compose(name: str, tag: sql.SQL, fragments: Mapping[str, sql.Composable]) -> sql.Composed:
    query = named_queries()[name]
    if fragments.keys() != query.spots:
        raise KeyError(f"{name}: spots {sorted(query.spots)} were given {sorted(fragments)}")
    pieces: list[sql.Composable] = [tag]
    position = 0
    for match in _SPOT.finditer(query.text):
        pieces += [literal_sql(query.text[position : match.start()]), fragments[match[1]]]
        position = match.end()
    # From version 18 on, pg_stat_statements leaves out what stands before a statement, but not what stands behind it.
    pieces.append(literal_sql(f"{query.text[position:]} /* {name} */"))
    return sql.Composed(pieces)


def literal_sql(text: str) -> sql.SQL:
    """SQL whose text does not come from this file's queries: a migration, a judged predicate, a catalog's type name."""
    return sql.SQL(text)


def predicate_sql(text: str, *, beside_parameters: bool) -> sql.Composable:
    """The operator's own text in parentheses; only a text that was found safe may come here.

    Where the statement also has parameters, psycopg reads a doubled percent sign as one.
    """
    sent = text.replace("%", "%%") if beside_parameters else text
    return sql.SQL("({})").format(literal_sql(sent))
