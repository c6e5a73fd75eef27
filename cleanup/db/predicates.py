"""An operator's predicates, judged by their tree; the operator's own text is what runs."""

import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

import sqlglot
from psycopg import errors, sql
from sqlglot import errors as sqlglot_errors
from sqlglot import expressions as exp

from cleanup.db.connection import Connection
from cleanup.db.queries import predicate_sql, statement
from cleanup.errors import PredicateRefused

# Parts of a boolean over columns and literals that need no look-up: they name operators, not functions.
_PLAIN: Final = (
    exp.DataType,
    exp.DataTypeParam,
    exp.Identifier,
    exp.Literal,
    exp.Boolean,
    exp.Null,
    exp.Paren,
    exp.And,
    exp.Or,
    exp.Not,
    exp.Is,
    exp.EQ,
    exp.NEQ,
    exp.GT,
    exp.GTE,
    exp.LT,
    exp.LTE,
    exp.Between,
    exp.In,
    exp.Like,
    exp.ILike,
    exp.Add,
    exp.Sub,
    exp.Mul,
    exp.Mod,
    exp.Neg,
    exp.NullSafeEQ,
    exp.NullSafeNEQ,
    exp.JSONExtract,
    exp.JSONExtractScalar,
    exp.JSONPath,
    exp.JSONPathRoot,
    exp.JSONPathKey,
    exp.JSONPathSubscript,
    exp.Tuple,
    exp.Escape,
    exp.Any,
    exp.Array,
    exp.ArrayContainsAll,
    exp.JSONBContainsTopKey,
    exp.RegexpLike,
    exp.RegexpILike,
    exp.Case,
    exp.If,
    # Written like functions, and part of the grammar.
    exp.Coalesce,
    exp.Nullif,
    exp.Greatest,
    exp.Least,
)
_TIMES: Final = frozenset({exp.DataType.Type.TIMESTAMPTZ, exp.DataType.Type.TIMESTAMP, exp.DataType.Type.DATE})
_TEXTS: Final = frozenset({exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR})
_NUMBERS: Final = frozenset({"bool", "int2", "int4", "int8", "numeric"})
_TIME_COLUMNS: Final = frozenset({"timestamptz", "timestamp", "date", "timetz", "time"})
_CASTS: Final = frozenset(
    {
        exp.DataType.Type.BOOLEAN,
        exp.DataType.Type.SMALLINT,
        exp.DataType.Type.INT,
        exp.DataType.Type.BIGINT,
        exp.DataType.Type.DECIMAL,
        exp.DataType.Type.TEXT,
        exp.DataType.Type.VARCHAR,
        exp.DataType.Type.UUID,
    }
)
# Without quotes these are the session or the clock, whatever the table's columns are called.
_SESSION_WORDS: Final = frozenset(
    {
        "current_catalog",
        "current_date",
        "current_role",
        "current_schema",
        "current_time",
        "current_timestamp",
        "current_user",
        "localtime",
        "localtimestamp",
        "session_user",
        "system_user",
        "user",
    }
)
_CLOCK_WORD: Final = re.compile(r"\b(now|today|tomorrow|yesterday)\b", re.IGNORECASE)
_CALL: Final = re.compile(r"([a-z_][a-z0-9_]*)\(", re.IGNORECASE)
# A function's name and how many arguments it is given.
_Call: TypeAlias = "tuple[str, int]"
# Names that the batch's own statements have beside the table's.
_OURS: Final = "cleanup_"
_HINT: Final = (
    "write one boolean over this table's own columns: comparisons, AND/OR/NOT, IN, BETWEEN, LIKE, IS NULL and "
    "immutable functions of pg_catalog; no subquery, comment, second statement or clock. "
    "Use exempt_by to look in another table."
)


def require_safe_predicate(
    connection: Connection, place: str, text: str, table: sql.Identifier, columns: Mapping[str, str]
) -> None:
    """Raise PredicateRefused unless sqlglot and the server agree that `text` is one safe boolean.

    `place` says where the predicate stands (table and key); `columns` are the table's own, with their types.
    """
    tree = _parse(place, text)
    functions: set[_Call] = set()
    for node in tree.walk():
        _judge(place, text, node, columns, functions)
    _require_no_clock(place, text, tree, columns)
    _require_immutable(connection, place, text, functions)
    query = statement("catalog.predicate", predicate=predicate_sql(text, beside_parameters=False), table=table)
    _require_accepted(connection, f"{place}: {text!r}", query)


def require_look_up(
    connection: Connection, place: str, own: tuple[sql.Identifier, str], other: tuple[sql.Identifier, str]
) -> None:
    """Raise PredicateRefused unless the server can compare the column of one table with that of the other."""
    match = sql.SQL("{} = {}").format(sql.Identifier("l", other[1]), sql.Identifier("t", own[1]))
    _require_accepted(
        connection,
        f"{place} looked up by column {own[1]!r}",
        statement("catalog.look_up", table=own[0], other=other[0], match=match),
    )


def _refuse(place: str, text: str, why: str) -> PredicateRefused:
    return PredicateRefused(f"{place}: {text!r} {why}", hint=_HINT)


def _parse(place: str, text: str) -> exp.Expression:
    for opening in ("--", "/*"):
        if opening in _without_strings(text):
            raise _refuse(place, text, "holds a comment")
    if ";" in _without_strings(text):
        raise _refuse(place, text, "holds more than one statement")
    if "$" in _without_strings(text):
        raise _refuse(place, text, "holds a $ sign outside a string")
    try:
        trees = sqlglot.parse(f"SELECT ({text})", dialect="postgres")
    except sqlglot_errors.SqlglotError:
        raise _refuse(place, text, "is not a valid expression") from None
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Select) or set(_parts(tree)) != {"expressions"} or len(tree.expressions) != 1:
        raise _refuse(place, text, "is more than one expression")
    inner = tree.expressions[0]
    if not isinstance(inner, exp.Paren):
        raise _refuse(place, text, "is not one expression")
    return inner


def _parts(tree: exp.Expression) -> Iterator[str]:
    return (name for name, part in tree.args.items() if part)


def _without_strings(text: str) -> str:
    # Quotes doubled inside a string leave two adjacent strings, which comes to the same.
    return "".join(text.split("'")[::2])


def _judge(place: str, text: str, node: exp.Expr, columns: Mapping[str, str], functions: set[_Call]) -> None:
    if node.comments:
        raise _refuse(place, text, "holds a comment")
    if isinstance(node, _PLAIN):
        return
    if isinstance(node, exp.Column):
        _judge_column(place, text, node, columns)
    elif isinstance(node, exp.Cast):
        if not _is_safe_cast(node, columns):
            raise _refuse(place, text, f"casts to {node.to.sql('postgres')}, which is not safe here")
    elif isinstance(node, exp.Subquery | exp.Query | exp.Exists):
        raise _refuse(place, text, "holds a subquery")
    elif isinstance(node, exp.Func) and (call := _CALL.match(node.sql("postgres"))):
        name = call[1].lower()
        # trim() is the grammar's word for it.
        functions.add(("btrim" if name == "trim" else name, _arguments(node)))
    else:
        raise _refuse(place, text, f"holds {node.sql('postgres')!r}, which is not allowed here")


def _is_safe_cast(node: exp.Cast, columns: Mapping[str, str]) -> bool:
    target = node.to.this
    if isinstance(node.this, exp.Literal):
        return target in _CASTS or target in _TIMES
    if target in _TEXTS:
        return True
    # A text that is no number would end the job at its row, with the text in the server's message.
    operand = columns.get(node.this.name, "text") if isinstance(node.this, exp.Column) else "text"
    return target in _CASTS and operand in _NUMBERS


def _arguments(node: exp.Func) -> int:
    given = (part for value in node.args.values() for part in (value if isinstance(value, list) else [value]))
    return sum(isinstance(part, exp.Expr) for part in given)


def _judge_column(place: str, text: str, node: exp.Column, columns: Mapping[str, str]) -> None:
    is_quoted = isinstance(node.this, exp.Identifier) and bool(node.this.args.get("quoted"))
    name = node.name if is_quoted else node.name.lower()
    if not is_quoted and name in _SESSION_WORDS:
        raise _refuse(place, text, f"reads {name}, which is no column: put the name in double quotes if it is one")
    if len(node.parts) != 1 or name not in columns:
        raise _refuse(place, text, f"names {node.sql('postgres')}, which is no column of this table")
    if name.startswith(_OURS):
        raise _refuse(place, text, f"names {name}; names that begin with {_OURS} are the job's own")


def _require_no_clock(place: str, text: str, tree: exp.Expr, columns: Mapping[str, str]) -> None:
    has_times = any(columns.get(column.name) in _TIME_COLUMNS for column in tree.find_all(exp.Column)) or any(
        cast.to.this in _TIMES for cast in tree.find_all(exp.Cast)
    )
    for literal in tree.find_all(exp.Literal):
        if has_times and literal.is_string and (word := _CLOCK_WORD.search(literal.name)):
            raise _refuse(place, text, f"holds {word[0]!r}, which a time takes for the clock")


def _require_immutable(connection: Connection, place: str, text: str, functions: set[_Call]) -> None:
    calls = sorted(functions)
    names, arguments = [name for name, _ in calls], [number for _, number in calls]
    rows = connection.execute(statement("catalog.functions"), {"names": names, "arguments": arguments}).fetchall()
    immutable = {str(name): bool(always) for name, always in rows}
    for name in names:
        if name not in immutable:
            raise _refuse(place, text, f"calls {name}(), which is no function of pg_catalog")
        if not immutable[name]:
            raise _refuse(place, text, f"calls {name}(), which is not immutable, or no plain function")


def _require_accepted(connection: Connection, what: str, query: sql.Composed) -> None:
    try:
        with connection.transaction():
            connection.execute(query)
    except errors.InsufficientPrivilege:
        raise
    except (errors.ProgrammingError, errors.DataError, errors.NotSupportedError) as error:
        raise PredicateRefused(f"{what} is refused by the server: {error.diag.message_primary}", hint=_HINT) from None
