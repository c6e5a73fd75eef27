"""Statements on one leaf of the posts: composed from the catalog's names, never from strings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from psycopg import sql

from cleanup.config import AfterCutover, Undated
from cleanup.db.arrays import TextArray
from cleanup.db.keys import Key
from cleanup.db.queries import comment, literal_sql, predicate_sql, run_statement, statement
from cleanup.db.tables import KeyColumn, Leaf, Table, TextColumn

_COMMA: Final = sql.SQL(", ")
_TRUE: Final = sql.SQL("true")
# Assignment to varchar(n) refuses a text that is too long; a cast would silently cut it. JSON has no assignment cast.
_NEEDS_CAST: Final = frozenset({"json", "jsonb"})


class Scope(Enum):
    """Where a row stands to the policy; the value is the letter that a scan sends for it."""

    HISTORICAL = "h"
    EXEMPT = "e"
    AFTER_CUTOVER = "a"
    UNDATED = "u"
    OUTSIDE = "o"

    @property
    def stored(self) -> str:
        """The word the ledger has for it."""
        return self.name.lower()


SCOPES: Final = {scope.value: scope for scope in Scope}


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys after one and through another, in the order of the key's index; None is the leaf's own end."""

    after: Key | None = None
    through: Key | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One leaf of one configured table, as of one cutover."""

    table: Table
    leaf: Leaf
    leaf_number: int
    cutover: datetime

    def boundary(self, after: Key | None) -> sql.Composed:
        """The statement that finds a chunk's last key; takes `rows`."""
        names = [key.name for key in self.table.key]
        return statement(
            "targets.boundary",
            key_texts=sql.SQL("ARRAY[{}]").format(
                _COMMA.join(sql.SQL("{}::text").format(sql.Identifier("k", name)) for name in names)
            ),
            key=_COMMA.join(sql.Identifier("t", name) for name in names),
            leaf=self.leaf.identifier,
            range=self._range(KeyRange(after=after), beside_parameters=True),
        )

    def scan(self, keys: KeyRange, since_xmin: str | None = None) -> sql.Composed:
        """COPY of a key range; with `since_xmin` only of rows written by that transaction or later ones."""
        rows = statement(
            "targets.rows",
            scope=self._scope(beside_parameters=False),
            created_at=self._created_at(),
            author=self._author(),
            key_texts=_COMMA.join(sql.SQL("{}::text").format(sql.Identifier("t", key.name)) for key in self.table.key),
            texts=_COMMA.join(self._scanned_text(column) for column in self.table.columns),
            leaf=self.leaf.identifier,
            range=self._range(keys, beside_parameters=False, since_xmin=since_xmin),
        )
        return sql.SQL("{}COPY ({}) TO STDOUT (FORMAT BINARY)").format(comment("targets.rows"), rows)

    def lock_and_read(self, run: int) -> sql.Composed:
        """The statement that locks a batch's rows and reads scope and texts; takes `k0`, `k1`, ..."""
        return run_statement("targets.lock_and_read", run, **self._read())

    def read(self) -> sql.Composed:
        """The statement that reads scope and texts of some rows, without a lock; takes `k0`, `k1`, ..."""
        return statement("targets.read", **self._read())

    def still_there(self, run: int) -> sql.Composed:
        """The statement that tells which keys have a row; takes `k0`, `k1`, ..."""
        return run_statement("targets.still_there", run, leaf=self.leaf.identifier, **self._by_key())

    def write(self, run: int, columns: Sequence[TextColumn]) -> sql.Composed:
        """The statement that writes these columns of a batch; takes `k*`, `v*`, `h*` arrays and `rows`."""
        intact = sql.SQL(" AND ").join(
            sql.SQL("{} IS NOT DISTINCT FROM {}").format(_hash_of(column), sql.Identifier("i", f"cleanup_h{place}"))
            for place, column in enumerate(columns)
        )
        return run_statement("targets.write", run, intact=intact, **self._written(columns))

    def write_one(self, run: int, columns: Sequence[TextColumn]) -> sql.Composed:
        """The statement that writes one row and returns the hashes that came out."""
        hashes = _COMMA.join(_hash_of(column) for column in columns)
        return run_statement("targets.write_one", run, hashes=hashes, **self._written(columns))

    def hashes(self) -> sql.Composed:
        """The statement that hashes every configured column of some rows; takes `k0`, `k1`, ..."""
        return statement(
            "targets.hashes",
            hashes=_COMMA.join(_hash_of(column) for column in self.table.columns),
            leaf=self.leaf.identifier,
            **self._by_key(),
        )

    def key_parameters(self, keys: Iterable[Sequence[str]]) -> dict[str, TextArray]:
        """The arrays `k0`, `k1`, ... of the statements above."""
        rows = list(keys)
        return {f"k{place}": TextArray([key[place] for key in rows]) for place in range(len(self.table.key))}

    def _read(self) -> dict[str, sql.Composable]:
        return {
            "scope": self._scope(beside_parameters=True),
            "texts": _COMMA.join(_linked_text(column, beside_parameters=True) for column in self.table.columns),
            "leaf": self.leaf.identifier,
            **self._by_key(),
        }

    def _by_key(self) -> dict[str, sql.Composable]:
        places = range(len(self.table.key))
        return {
            "key_arrays": _COMMA.join(sql.SQL("{}::text[]").format(sql.Placeholder(f"k{place}")) for place in places),
            "key_names": _COMMA.join(sql.Identifier(f"cleanup_k{place}") for place in places),
            "key_match": sql.SQL(" AND ").join(
                sql.SQL("{} = {}::{}").format(
                    sql.Identifier("t", key.name), sql.Identifier("i", f"cleanup_k{place}"), _type(key.type_name)
                )
                for place, key in enumerate(self.table.key)
            ),
        }

    def _written(self, columns: Sequence[TextColumn]) -> dict[str, sql.Composable]:
        places = range(len(columns))
        return {
            "leaf": self.leaf.identifier,
            "assignments": _COMMA.join(_assignment(place, column) for place, column in enumerate(columns)),
            "value_arrays": _COMMA.join(
                sql.SQL("{}::text[], {}::bytea[]").format(sql.Placeholder(f"v{place}"), sql.Placeholder(f"h{place}"))
                for place in places
            ),
            "value_names": _COMMA.join(
                sql.SQL("{}, {}").format(sql.Identifier(f"cleanup_v{place}"), sql.Identifier(f"cleanup_h{place}"))
                for place in places
            ),
            **self._by_key(),
        }

    def _created_at(self) -> sql.Composable:
        column = sql.Identifier("t", self.table.created_at)
        zone = self.table.created_at_time_zone
        if zone is None:
            return sql.SQL("{}::timestamptz").format(column)
        return sql.SQL("({}::timestamp AT TIME ZONE {})").format(column, sql.Literal(zone))

    def _author(self) -> sql.Composable:
        if self.table.author is None:
            return sql.SQL("NULL::text")
        return sql.SQL("{}::text").format(sql.Identifier("t", self.table.author))

    def _scanned_text(self, column: TextColumn) -> sql.Composable:
        text = _linked_text(column, beside_parameters=False)
        if self.table.where is None:
            return text
        # A row outside the predicate is counted but not sent.
        return sql.SQL("CASE WHEN {} THEN {} END").format(
            predicate_sql(self.table.where, beside_parameters=False), text
        )

    def _exempt(self, beside_parameters: bool) -> sql.Composable:
        parts: list[sql.Composable] = []
        if self.table.exempt is not None:
            parts.append(predicate_sql(self.table.exempt, beside_parameters=beside_parameters))
        look_up = self.table.exempt_by
        if look_up is not None:
            schema, _, name = look_up.table.partition(".")
            parts.append(
                sql.SQL("EXISTS (SELECT FROM {} AS l WHERE {} = {})").format(
                    sql.Identifier(schema, name), sql.Identifier("l", look_up.key), sql.Identifier("t", look_up.column)
                )
            )
        return sql.SQL("({})").format(sql.SQL(" OR ").join(parts)) if parts else sql.SQL("false")

    def _scope(self, *, beside_parameters: bool) -> sql.Composable:
        """Three letters: the scope; `n` where a predicate was NULL, which counts as false; `l` for link rows."""
        where = (
            predicate_sql(self.table.where, beside_parameters=beside_parameters)
            if self.table.where is not None
            else _TRUE
        )
        exempt = self._exempt(beside_parameters)
        undated = Scope.HISTORICAL if self.table.undated is Undated.INCLUDE else Scope.UNDATED
        later = sql.SQL("WHEN {} >= {} THEN {} ").format(
            self._created_at(), sql.Literal(self.cutover), sql.Literal(Scope.AFTER_CUTOVER.value)
        )
        null_mark = sql.SQL("CASE WHEN {} IS NULL OR {} IS NULL THEN 'n' ELSE '-' END").format(where, exempt)
        return sql.SQL(
            "CASE WHEN {where} IS NOT TRUE THEN {outside} {later}"
            "WHEN {exempt} THEN {exempted} WHEN {created} IS NULL THEN {undated} ELSE {historical} END "
            "|| {null_mark} || {link_mark}"
        ).format(
            where=where,
            outside=sql.Literal(Scope.OUTSIDE.value),
            # Included, later posts are what the historical ones are: exempt, or in scope.
            later=later if self.table.after_cutover is AfterCutover.LEAVE else sql.SQL(""),
            created=self._created_at(),
            exempt=exempt,
            exempted=sql.Literal(Scope.EXEMPT.value),
            undated=sql.Literal(undated.value),
            historical=sql.Literal(Scope.HISTORICAL.value),
            null_mark=null_mark if self.table.where or self.table.exempt else sql.SQL("'-'"),
            link_mark=self._link_mark(beside_parameters),
        )

    def _link_mark(self, beside_parameters: bool) -> sql.Composable:
        whens = [
            predicate_sql(column.link_rows.when, beside_parameters=beside_parameters)
            for column in self.table.columns
            if column.link_rows is not None
        ]
        if not whens:
            return sql.SQL("'-'")
        return sql.SQL("CASE WHEN {} THEN 'l' ELSE '-' END").format(sql.SQL(" OR ").join(whens))

    def _range(self, keys: KeyRange, *, beside_parameters: bool, since_xmin: str | None = None) -> sql.Composable:
        parts: list[sql.Composable] = []
        for operator, key in ((sql.SQL(">"), keys.after), (sql.SQL("<="), keys.through)):
            if key is not None:
                parts.append(_compare(self.table.key, operator, key, beside_parameters))
        if since_xmin is not None:
            # A superset of what was written since, which needs neither an index nor an updated_at.
            parts.append(sql.SQL("age(t.xmin) <= age({}::xid8::xid)").format(sql.Literal(since_xmin)))
        return sql.SQL(" AND ").join(parts) if parts else _TRUE


def _compare(columns: Sequence[KeyColumn], operator: sql.SQL, key: Key, beside_parameters: bool) -> sql.Composable:
    left = _COMMA.join(sql.Identifier("t", column.name) for column in columns)
    right = _COMMA.join(
        sql.SQL("{}::{}").format(_literal(part, beside_parameters), _type(column.type_name))
        for part, column in zip(key, columns, strict=True)
    )
    return sql.SQL("({}) {} ({})").format(left, operator, right)


def _literal(text: str, beside_parameters: bool) -> sql.Composable:
    # Where the statement also has parameters, psycopg reads a doubled percent sign as one.
    return sql.Literal(text.replace("%", "%%") if beside_parameters else text)


def _linked_text(column: TextColumn, *, beside_parameters: bool) -> sql.Composable:
    """The column's text; of a column with `link_rows` only where the row says that it is a link."""
    if column.link_rows is None:
        return _text_of(column)
    when = predicate_sql(column.link_rows.when, beside_parameters=beside_parameters)
    return sql.SQL("CASE WHEN {} THEN {} END").format(when, _text_of(column))


def _text_of(column: TextColumn) -> sql.Composable:
    return sql.SQL("{}::text").format(sql.Identifier("t", column.name))


def _hash_of(column: TextColumn) -> sql.Composable:
    return sql.SQL("sha256(convert_to({}, 'UTF8'))").format(_text_of(column))


def _assignment(place: int, column: TextColumn) -> sql.Composable:
    value = sql.Identifier("i", f"cleanup_v{place}")
    cast_to = sql.SQL("::{}").format(_type(column.type_name)) if column.type_name in _NEEDS_CAST else sql.SQL("")
    return sql.SQL("{} = {}{}").format(sql.Identifier(column.name), value, cast_to)


def _type(type_name: str) -> sql.SQL:
    # format_type's own spelling, quoted by the server where it needs to be.
    return literal_sql(type_name)
