"""Configured tables looked up and judged: each refusal says what is wrong and the way out."""

from collections.abc import Mapping
from typing import Final

from psycopg import sql
from psycopg.rows import args_row

from cleanup.config import ExemptBy, Resolution, TableConfig, UrlResult
from cleanup.db.catalog import CatalogColumn
from cleanup.db.connection import Connection
from cleanup.db.queries import statement
from cleanup.db.tables import KeyColumn, Leaf, Table, TextColumn
from cleanup.errors import ColumnUnknown, ColumnUnsuitable, CreatedAtUnsuitable, KeyUnusable, TableUnknown
from cleanup.vocabulary import ColumnFormat

_TEXT_TYPES: Final = frozenset({"text", "varchar"})
_JSON_TYPES: Final = frozenset({"json", "jsonb"})
_ORDINARY: Final = "r"
_PARTITIONED: Final = "p"
# Tables, partitioned ones, views, materialised views and foreign tables can be looked up in.
_LOOK_UP: Final = frozenset("rpvmf")


def describe_table(connection: Connection, config: TableConfig) -> Table:
    """Look a configured table up; raise the refusal that says what is wrong with it and the way out.

    Must run in one of our transactions, whose search_path makes pg_catalog the only place for names.
    """
    oid, name = _find_table(connection, config)
    columns = {column.name: column for column in _read_columns(connection, oid)}
    key = _choose_key(connection, oid, name, config, columns)
    _require_columns(name, config, columns)
    _require_plain_names(config, key)
    table = Table(
        name=name,
        key=key,
        columns=_text_columns(name, config, columns),
        created_at=config.created_at,
        created_at_time_zone=_created_at_zone(connection, name, config, columns[config.created_at]),
        author=config.author,
        exempt=config.exempt,
        where=config.where,
        exempt_by=config.exempt_by,
        undated=config.undated,
        leaves=_read_leaves(connection, oid, name),
        triggers=config.triggers,
        after_cutover=config.after_cutover,
    )
    _require_no_key_column(table)
    types = {column.name: column.domain_base or column.base_name for column in columns.values()}
    _require_predicates(connection, table, types)
    return table


def _find_table(connection: Connection, config: TableConfig) -> tuple[int, str]:
    schema, _, name = config.name.partition(".")
    row = connection.execute(statement("catalog.table"), {"schema": schema, "name": name}).fetchone()
    if row is None:
        raise TableUnknown(
            f"table {config.name!r} is not in this database",
            hint="name it as schema.table, in the letters the catalog has (unquoted names are lower case).",
        )
    oid, _, _, kind = row
    if kind not in (_ORDINARY, _PARTITIONED):
        raise TableUnknown(
            f"{config.name!r} is no table but of kind {kind!r}", hint="name the table that holds the rows."
        )
    heirs = [str(heir) for (heir,) in connection.execute(statement("catalog.heirs"), {"oid": oid}).fetchall()]
    if heirs:
        raise TableUnknown(
            f"table {config.name!r} has inheriting tables, whose rows it shows as its own: {', '.join(heirs)}",
            hint="inheritance is not supported: name each inheriting table by itself, or make them partitions.",
        )
    return int(oid), config.name


def _read_columns(connection: Connection, oid: int) -> list[CatalogColumn]:
    with connection.cursor(row_factory=args_row(CatalogColumn)) as cursor:
        return cursor.execute(statement("catalog.columns"), {"oid": oid}).fetchall()


def _read_leaves(connection: Connection, oid: int, name: str) -> tuple[Leaf, ...]:
    with connection.cursor(row_factory=args_row(Leaf)) as cursor:
        leaves = tuple(cursor.execute(statement("catalog.leaves"), {"oid": oid}).fetchall())
    if not leaves:
        raise TableUnknown(
            f"table {name!r} is partitioned and has no partition", hint="leave it out: it holds no post."
        )
    for leaf in leaves:
        _require_plain(leaf.full_name)
        if leaf.kind != _ORDINARY:
            raise TableUnknown(
                f"{leaf.full_name!r}, a partition of {name!r}, is no table but of kind {leaf.kind!r}",
                hint="rows elsewhere can not be changed in one transaction with their log: detach it first.",
            )
    return leaves


def _choose_key(
    connection: Connection, oid: int, name: str, config: TableConfig, columns: dict[str, CatalogColumn]
) -> tuple[KeyColumn, ...]:
    rows = connection.execute(statement("catalog.keys"), {"oid": oid}).fetchall()
    usable = [tuple(str(part) for part in names) for _, names, not_null in rows if not_null]
    primary = [tuple(str(part) for part in names) for is_primary, names, _ in rows if is_primary]
    if config.key:
        _require_known(name, "key", config.key, columns)
        chosen = next((key for key in usable if set(key) == set(config.key)), None)
        if chosen is None:
            raise KeyUnusable(
                f"table {name!r}: no unique index over exactly ({', '.join(config.key)}) with NOT NULL columns",
                hint="name the columns of a unique, immediate index that is not partial, all of them NOT NULL.",
            )
    elif primary:
        chosen = primary[0]
    else:
        raise KeyUnusable(
            f"table {name!r} has no primary key", hint="add one, or name a unique NOT NULL key with key = [...]."
        )
    for part in chosen:
        if not columns[part].has_built_in_order:
            raise KeyUnusable(
                f"table {name!r}: key column {part!r} is {columns[part].type_name}, whose order is no built-in one",
                hint="name another unique NOT NULL key with key = [...].",
            )
    return tuple(KeyColumn(part, columns[part].type_name) for part in chosen)


def _require_known(name: str, where: str, wanted: tuple[str, ...], columns: dict[str, CatalogColumn]) -> None:
    for column in wanted:
        if column not in columns:
            raise ColumnUnknown(
                f"table {name!r}, {where}: there is no column {column!r}",
                hint=f"the columns are {', '.join(columns)}.",
            )


def _require_columns(name: str, config: TableConfig, columns: dict[str, CatalogColumn]) -> None:
    _require_known(name, "columns", tuple(column.name for column in config.columns), columns)
    _require_known(name, "created_at", (config.created_at,), columns)
    if config.author is not None:
        _require_known(name, "author", (config.author,), columns)
    if config.exempt_by is not None:
        _require_known(name, "exempt_by.column", (config.exempt_by.column,), columns)


def _require_plain_names(config: TableConfig, key: tuple[KeyColumn, ...]) -> None:
    names = [config.name, config.created_at, *(part.name for part in key), *(column.name for column in config.columns)]
    if config.author is not None:
        names.append(config.author)
    if config.exempt_by is not None:
        names += [config.exempt_by.table, config.exempt_by.key, config.exempt_by.column]
    for one in names:
        _require_plain(one)


def _require_plain(name: str) -> None:
    # The driver takes a percent sign for a parameter, and a name can not escape it.
    if "%" in name:
        raise ColumnUnsuitable(f"the name {name!r} holds a percent sign", hint="rename it, or leave it out.")


def _require_no_key_column(table: Table) -> None:
    keys = table.key_names()
    for column in table.columns:
        if column.name in keys:
            raise ColumnUnsuitable(
                f"table {table.name!r}, column {column.name!r} is part of the key, by which rows are found again",
                hint="name another unique NOT NULL key with key = [...], or leave the column out.",
            )


def _text_columns(name: str, config: TableConfig, columns: dict[str, CatalogColumn]) -> tuple[TextColumn, ...]:
    found: list[TextColumn] = []
    for number, wanted in enumerate(config.columns):
        column = columns[wanted.name]
        _require_suitable(name, column, wanted.format)
        if column.not_null and wanted.on_redact is UrlResult.NULL:
            raise ColumnUnsuitable(
                f"table {name!r}, column {column.name!r} is NOT NULL", hint='set on_redact = "empty" or "placeholder".'
            )
        found.append(
            TextColumn(
                number,
                wanted.name,
                wanted.format,
                wanted.json_paths,
                column.type_name,
                column.max_length,
                wanted.on_redact,
                wanted.leaf_formats,
                wanted.link_rows,
            )
        )
    return tuple(found)


def _require_suitable(name: str, column: CatalogColumn, column_format: ColumnFormat) -> None:
    place = f"table {name!r}, column {column.name!r}"
    if column.generated:
        raise ColumnUnsuitable(f"{place} is generated", hint="name the column it is computed from.")
    if column.is_domain:
        raise ColumnUnsuitable(
            f"{place} is of the domain {column.type_name}", hint="domains are not supported; leave the column out."
        )
    if column.base_name == "bpchar":
        raise ColumnUnsuitable(
            f"{place} is {column.type_name}, which pads with blanks", hint="change it to varchar or text first."
        )
    if column.base_name == "citext":
        raise ColumnUnsuitable(
            f"{place} is citext, which takes different texts for equal", hint="change it to text first."
        )
    if column.base_name in _JSON_TYPES:
        if column_format is not ColumnFormat.JSON:
            raise ColumnUnsuitable(f"{place} is {column.type_name}", hint='give it format = "json".')
    elif column.base_name not in _TEXT_TYPES:
        raise ColumnUnsuitable(
            f"{place} is {column.type_name}, not text",
            hint="only text, varchar, json and jsonb columns can be changed.",
        )


def _created_at_zone(connection: Connection, name: str, config: TableConfig, column: CatalogColumn) -> str | None:
    place = f"table {name!r}, created_at column {column.name!r}"
    if column.base_name == "timestamptz":
        return None
    if column.base_name not in ("timestamp", "date"):
        raise CreatedAtUnsuitable(
            f"{place} is {column.type_name}", hint="name a timestamptz, timestamp or date column."
        )
    if config.created_at_time_zone is None:
        raise CreatedAtUnsuitable(
            f"{place} is {column.type_name}, which says no zone",
            hint='set created_at_time_zone, for example "Asia/Shanghai".',
        )
    try:
        with connection.transaction():
            connection.execute(statement("catalog.time_zone"), {"zone": config.created_at_time_zone})
    except connection.DataError:
        raise CreatedAtUnsuitable(
            f"{place}: the server does not know the zone {config.created_at_time_zone!r}",
            hint="`SELECT name FROM pg_timezone_names` lists those it knows.",
        ) from None
    return config.created_at_time_zone


def _require_predicates(connection: Connection, table: Table, columns: Mapping[str, str]) -> None:
    # Imported here: the SQL parser is slow to import, and a lane never judges a predicate.
    from cleanup.db.predicates import require_safe_predicate  # noqa: PLC0415

    schema, _, relation = table.name.partition(".")
    identifier = sql.Identifier(schema, relation)
    for key, text in (("exempt", table.exempt), ("where", table.where)):
        if text is not None:
            require_safe_predicate(connection, f"table {table.name!r}, {key}", text, identifier, columns)
    for column in table.columns:
        if column.link_rows is not None:
            place = f"table {table.name!r}, column {column.name!r}, link_rows.when"
            require_safe_predicate(connection, place, column.link_rows.when, identifier, columns)
    if table.exempt_by is not None:
        _require_exempt_by(connection, table.name, identifier, table.exempt_by)


def _require_exempt_by(connection: Connection, table: str, identifier: sql.Identifier, exempt_by: ExemptBy) -> None:
    from cleanup.db.predicates import require_look_up  # noqa: PLC0415 - as above

    place = f"table {table!r}, exempt_by"
    schema, _, name = exempt_by.table.partition(".")
    row = connection.execute(statement("catalog.table"), {"schema": schema, "name": name}).fetchone()
    if row is None or row[3] not in _LOOK_UP:
        raise TableUnknown(
            f"{place}: {exempt_by.table!r} is no table in this database", hint="name it as schema.table."
        )
    columns = {column.name: column for column in _read_columns(connection, int(row[0]))}
    _require_known(exempt_by.table, "exempt_by.key", (exempt_by.key,), columns)
    require_look_up(
        connection,
        f"{place}: {exempt_by.table}.{exempt_by.key} ({columns[exempt_by.key].type_name})",
        (identifier, exempt_by.column),
        (sql.Identifier(schema, name), exempt_by.key),
    )


def require_resolution(connection: Connection, resolution: Resolution) -> None:
    """Raise the refusal that says what is wrong with the configured resolution map."""
    schema, _, name = resolution.table.partition(".")
    row = connection.execute(statement("catalog.table"), {"schema": schema, "name": name}).fetchone()
    if row is None:
        raise TableUnknown(
            f"resolution: table {resolution.table!r} is not in this database", hint="name it as schema.table."
        )
    columns = {column.name: column for column in _read_columns(connection, int(row[0]))}
    _require_known(resolution.table, "resolution", (resolution.short, resolution.target), columns)
    for wanted in (resolution.short, resolution.target):
        if columns[wanted].base_name not in _TEXT_TYPES:
            raise ColumnUnsuitable(
                f"resolution: column {wanted!r} is {columns[wanted].type_name}, not text", hint="name a text column."
            )
