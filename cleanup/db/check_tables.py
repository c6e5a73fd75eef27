"""What the catalog says about the configured tables: rights, policies, rules and what depends on written columns."""

from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import args_row

from cleanup.db.checks import Posts
from cleanup.db.connection import Connection
from cleanup.db.queries import statement
from cleanup.db.targets import Target


@dataclass(frozen=True, slots=True)
class ColumnRights:
    """What the role may do with one column of one leaf."""

    leaf: str
    column: str
    may_read: bool
    may_write: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A rewrite rule on UPDATE: on that leaf, and on so many leaves in all."""

    name: str
    leaf: str
    leaves: int


@dataclass(frozen=True, slots=True)
class DependentName:
    """A generated column or a constraint, and the written columns that it depends on."""

    name: str
    columns: list[str]


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key on a written column; `points_away` where that column refers to another table."""

    name: str
    from_table: str
    to_table: str
    points_away: bool
    on_update: str


def column_rights(connection: Connection, posts: Posts) -> list[ColumnRights]:
    """The role's rights on every column that the job names."""
    with connection.cursor(row_factory=args_row(ColumnRights)) as cursor:
        parameters = {"leaves": posts.leaves, "columns": posts.read}
        return cursor.execute(statement("check_tables.rights"), parameters).fetchall()


def hidden_leaves(connection: Connection, posts: Posts) -> list[str]:
    """Leaves whose row security applies to this role."""
    rows = connection.execute(statement("check_tables.row_security"), {"leaves": posts.leaves}).fetchall()
    return [str(name) for (name,) in rows]


def update_rules(connection: Connection, posts: Posts) -> list[Rule]:
    """Rewrite rules on UPDATE."""
    with connection.cursor(row_factory=args_row(Rule)) as cursor:
        return cursor.execute(statement("check_tables.rules"), {"leaves": posts.leaves}).fetchall()


def generated_columns(connection: Connection, posts: Posts) -> list[DependentName]:
    """Generated columns that are computed from a written one."""
    with connection.cursor(row_factory=args_row(DependentName)) as cursor:
        parameters = {"root": posts.root, "columns": posts.written}
        return cursor.execute(statement("check_tables.generated_columns"), parameters).fetchall()


def check_constraints(connection: Connection, posts: Posts) -> list[DependentName]:
    """CHECK constraints over a written column."""
    with connection.cursor(row_factory=args_row(DependentName)) as cursor:
        parameters = {"leaves": posts.leaves, "columns": posts.written}
        return cursor.execute(statement("check_tables.check_constraints"), parameters).fetchall()


def foreign_keys(connection: Connection, posts: Posts) -> list[ForeignKey]:
    """Foreign keys on a written column, from either side."""
    with connection.cursor(row_factory=args_row(ForeignKey)) as cursor:
        parameters = {"relations": list(posts.relations), "columns": posts.written}
        return cursor.execute(statement("check_tables.foreign_keys"), parameters).fetchall()


def explain_write(connection: Connection, target: Target) -> None:
    """Let the server plan a batch's own UPDATE without running it; it raises whatever the batch would meet."""
    columns = target.table.columns
    names = [f"{letter}{place}" for letter in "vh" for place in range(len(columns))]
    parameters = {**target.key_parameters([]), **{name: list[str]() for name in names}}
    connection.execute(sql.SQL("EXPLAIN {}").format(target.write_one(0, columns)), parameters)
