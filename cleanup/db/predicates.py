"""An operator's predicates, judged by their tree; the operator's own text is what runs."""

from collections.abc import Iterator
from typing import Final

import sqlglot
from psycopg import sql
from sqlglot import errors as sqlglot_errors
from sqlglot import expressions as exp

from cleanup.db.connection import Connection
from cleanup.db.queries import literal_sql, statement
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
)
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
        exp.DataType.Type.TIMESTAMPTZ,
    }
)
_HINT: Final = (
    "write one boolean over this table's own columns: comparisons, AND/OR/NOT, IN, BETWEEN, LIKE, IS NULL and "
    "immutable functions of pg_catalog; no subquery, comment, second statement or clock. "
    "Use exempt_by to look in another table."
)


def require_safe_predicate(
    connection: Connection, place: str, text: str, table: sql.Identifier, columns: frozenset[str]
) -> None:
    """Raise PredicateRefused unless sqlglot and the server agree that `text` is one safe boolean.

    `place` says where the predicate stands (table and key); `columns` are the table's own.
    """
    tree = _parse(place, text)
    functions: set[str] = set()
    for node in tree.walk():
        _judge(place, text, node, columns, functions)
    _require_immutable(connection, place, text, functions)
    _require_boolean(connection, place, text, table)


def predicate_sql(text: str, *, beside_parameters: bool) -> sql.Composable:
    """The operator's own text in parentheses; only a text that was found safe may come here.

    Where the statement also has parameters, psycopg reads a doubled percent sign as one.
    """
    sent = text.replace("%", "%%") if beside_parameters else text
    return sql.SQL("({})").format(literal_sql(sent))


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


def _judge(place: str, text: str, node: exp.Expr, columns: frozenset[str], functions: set[str]) -> None:
    if node.comments:
        raise _refuse(place, text, "holds a comment")
    if isinstance(node, _PLAIN):
        return
    if isinstance(node, exp.Column):
        if len(node.parts) != 1 or node.name not in columns:
            raise _refuse(place, text, f"names {node.sql('postgres')}, which is no column of this table")
    elif isinstance(node, exp.Cast):
        if node.to.this not in _CASTS:
            raise _refuse(place, text, f"casts to {node.to.sql('postgres')}, which is not on the list of safe types")
    elif isinstance(node, exp.Subquery | exp.Query | exp.Exists):
        raise _refuse(place, text, "holds a subquery")
    elif isinstance(node, exp.Anonymous):
        functions.add(node.name.lower())
    elif isinstance(node, exp.Func):
        functions.add(_function_name(node))
    else:
        raise _refuse(place, text, f"holds {node.sql('postgres')!r}, which is not allowed here")


def _function_name(node: exp.Func) -> str:
    if isinstance(node, exp.Coalesce):
        return ""
    return node.sql("postgres").split("(")[0].strip().lower()


def _require_immutable(connection: Connection, place: str, text: str, functions: set[str]) -> None:
    names = sorted(functions - {""})
    rows = connection.execute(statement("catalog.functions"), {"names": names}).fetchall()
    immutable = {str(name): bool(always) for name, always in rows}
    for name in names:
        if name not in immutable:
            raise _refuse(place, text, f"calls {name}(), which is no function of pg_catalog")
        if not immutable[name]:
            raise _refuse(place, text, f"calls {name}(), which is not immutable")


def _require_boolean(connection: Connection, place: str, text: str, table: sql.Identifier) -> None:
    query = statement("catalog.predicate_type", predicate=predicate_sql(text, beside_parameters=False), table=table)
    try:
        with connection.transaction():
            row = connection.execute(query).fetchone()
    except connection.ProgrammingError as error:
        raise _refuse(place, text, f"is refused by the server: {error.diag.message_primary}") from None
    if row is None or row[0] != "boolean":
        raise _refuse(place, text, f"is of type {row[0] if row else 'unknown'}, not boolean")
