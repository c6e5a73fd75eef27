"""Predicates: what operators write is accepted and means what it says; anything else is refused before it runs."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from cleanup.db.connection import Connection, open_connection, transaction
from cleanup.db.predicates import require_safe_predicate
from cleanup.db.queries import predicate_sql
from cleanup.demo.server import Server
from cleanup.errors import PredicateRefused
from tests.integration.jobs import new_database

SCHEMA = """
CREATE TABLE post (
    id bigint PRIMARY KEY, body text, kind text, status int, is_live boolean, hidden boolean, flags int,
    created_at timestamptz, meta jsonb, tags text[], "user" text, "Zone" text, "it's" int, t boolean, cleanup_place int
);
INSERT INTO post VALUES
    (1, '买这个', 'live', 1, true, false, 0, '2020-05-01', '{"type": "live", "n": "1"}', '{a}', 'bob', 'x', 1, true, 1),
    (2, '50% off', 'note', 2, false, true, NULL, '2019-05-01', '{"type": "note"}', '{b}', 'ann', 'y', 2, false, 2),
    (3, NULL, NULL, NULL, NULL, NULL, 3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TYPE mood AS ENUM ('sad');
CREATE FUNCTION public.is_shop(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
-- Shadows a function of pg_catalog for whoever has public in front.
CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'live'$$;
"""
COLUMNS = {
    **dict.fromkeys(("body", "kind", "user", "Zone"), "text"),
    **dict.fromkeys(("status", "flags", "it's", "cleanup_place"), "int4"),
    **dict.fromkeys(("is_live", "hidden", "t"), "bool"),
    "id": "int8",
    "created_at": "timestamptz",
    "meta": "jsonb",
    "tags": "_text",
}
POST = sql.Identifier("public", "post")

# A predicate and the rows for which it is true.
ACCEPTED = {
    "is_live": [1],
    "IS_LIVE": [1],
    "NOT is_live": [2],
    "is_live IS NOT TRUE": [2, 3],
    "kind IN ('live', 'vod')": [1],
    "kind = ANY (ARRAY['live', 'vod'])": [1],
    "kind = ANY ('{live,vod}')": [1],
    "status = 1 AND NOT hidden": [1],
    "is_live OR kind = 'note' AND id < 3": [1, 2],
    "created_at >= '2020-01-01'": [1],
    "created_at >= timestamptz '2020-01-01 00:00+08'": [1],
    "created_at < '2020-01-01'::date": [2],
    "created_at BETWEEN '2019-01-01' AND '2019-12-31'": [2],
    "body LIKE '%off%'": [2],
    "body LIKE '50!% %' ESCAPE '!'": [2],
    "body LIKE '%now%' OR id = 3": [3],
    "body ILIKE '%OFF'": [2],
    "body ~ '^[0-9]+%'": [2],
    "coalesce(flags, 0) = 0": [1, 2],
    "nullif(kind, 'live') IS NULL": [1, 3],
    "CASE WHEN is_live THEN status = 1 ELSE false END": [1],
    "meta ->> 'type' = 'live'": [1],
    "is_live::int = status": [1],
    "id::text = '2'": [2],
    "status::numeric = '1'::numeric": [1],
    'meta @> \'{"type": "live"}\'': [1],
    "meta ? 'n'": [1],
    "tags = '{a}'": [1],
    "lower(kind) = 'live'": [1],
    "trim(kind) = 'live'": [1],
    "substr(kind, 1, 2) = 'li'": [1],
    "position('off' in body) > 0": [2],
    "char_length(body) > 3": [2],
    "length(body) = 3": [1],
    "btrim(kind, 'l') = 'ive'": [1],
    "num_nonnulls(kind, flags) = 2": [1],
    "md5(kind) = 'd0dbe915091d400bd8ee7f27f0791303'": [1],
    "id % 2 = 0": [2],
    "-id < -2": [3],
    "(id, kind) = (1, 'live')": [1],
    "kind IS DISTINCT FROM 'live'": [2, 3],
    "body = '买这个'": [1],
    "body = 'it''s; -- $1 /* no */ (SELECT 1)'": [],
    "\"user\" = 'bob'": [1],
    "\"Zone\" = 'y'": [2],
    '"it\'s" = 1': [1],
    "t": [1],
    "true": [1, 2, 3],
}

REFUSED = {
    "": "not one expression",
    "id IN (SELECT id FROM post)": "subquery",
    "EXISTS (SELECT 1)": "subquery",
    "(SELECT true)": "not one expression",
    "id = (TABLE post)": "",
    "is_live -- all of them": "comment",
    "is_live /* all */": "comment",
    "is_live /* a /* b */ c */": "comment",
    "\"it's\" = 1 -- it's": "",
    "\"it's\" = 1 /* it's */": "",
    "is_live; DELETE FROM post": "statement",
    ";": "statement",
    "true) OR (true": "not one expression",
    "true), (true": "more than one expression",
    "true) FROM post AS p WHERE (true": "more than one expression",
    "true) LIMIT (1": "more than one expression",
    "true) UNION SELECT (true": "more than one expression",
    "true) AS (x": "",
    "(true": "not a valid expression",
    "true)": "not a valid expression",
    "now() > created_at": "CURRENT_TIMESTAMP",
    "created_at < CURRENT_DATE": "CURRENT_DATE",
    "created_at < clock_timestamp()": "clock_timestamp(), which is not immutable",
    "created_at < 'now'": "'now', which a time takes for the clock",
    "created_at < ' Tomorrow 12:00'": "'Tomorrow'",
    "created_at < 'yesterday'::date": "'yesterday'",
    "random() < 0.5": "random(), which is not immutable",
    "pg_sleep(1) IS NULL": "pg_sleep(), which is not immutable",
    "to_char(created_at, 'YYYY') = '2020'": "to_char(), which is not immutable",
    "current_setting('x') = 'y'": "current_setting(), which is not immutable",
    "count(*) > 1": "",
    "bool_or(is_live)": "bool_or(), which is not immutable, or no plain function",
    "generate_series(1, 2) = 1": "generate_series(), which is not immutable, or no plain function",
    "date_trunc('day', created_at) = '2020-05-01'": "'DAY', which is not allowed",
    "age(created_at) IS NULL": "age(), which is not immutable",
    "unnest(tags) = 'a'": "unnest",
    "row_number() OVER () = 1": "",
    "is_shop(body)": "is_shop(), which is no function of pg_catalog",
    "public.lower(kind) = 'live'": "",
    "user = 'bob'": "reads user, which is no column",
    "current_user = 'bob'": "",
    "session_user = 'bob'": "",
    "kind::mood = 'sad'": "casts to mood",
    "kind::public.mood = 'sad'": "casts to",
    "kind::regclass = 1": "",
    "body::int > 0": "casts to INT, which is not safe",
    "(meta ->> 'n')::int = 1": "casts to INT, which is not safe",
    "kind::timestamptz > '2020-01-01'": "casts to TIMESTAMPTZ",
    "kind COLLATE \"C\" = 'x'": "",
    "nothing = 1": "nothing, which is no column",
    "xmin = 1": "xmin, which is no column",
    "ctid IS NULL": "ctid, which is no column",
    "t.is_live": "t.is_live, which is no column",
    "other.id = 1": "other.id, which is no column",
    "zone = 'y'": "zone, which is no column",
    "cleanup_place = 1": "job's own",
    "status": "must be type boolean",
    "kind": "must be type boolean",
    "kind + 1 = 2": "refused by the server",
    "status = 'many'": "refused by the server",
    "created_at > 'someday'": "refused by the server",
    "kind = E'live'": "",
    "kind = U&'live'": "",
    "kind = $$live$$": "$ sign",
    "id = $1": "$ sign",
    "id = %s": "",
    "id = :id": "",
    "id = ?": "",
    "*": "",
    "post IS NOT NULL": "post, which is no column",
    "is_live AND": "not a valid expression",
    "is_live = true = '": "",
    "true INTO x": "",
}


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[Connection]:
    """A table with every kind of column, seen with public in front of pg_catalog's place."""
    with new_database(server) as dsn:
        opened = open_connection(dsn, "predicates")
        opened.execute(SCHEMA)
        opened.execute("SET search_path = public, pg_catalog")
        yield opened
        opened.close()


@pytest.mark.parametrize("predicate", ACCEPTED)
@pytest.mark.parametrize("parameters", [None, {"id": 0}], ids=["alone", "beside_parameters"])
def test_what_operators_write_is_accepted_and_means_what_it_says(
    connection: Connection, predicate: str, parameters: dict[str, int] | None
) -> None:
    composed = predicate_sql(predicate, beside_parameters=parameters is not None)
    query = sql.SQL("SELECT id FROM {} WHERE {} {} ORDER BY id").format(
        POST, composed, sql.SQL("AND id > %(id)s" if parameters else "")
    )
    with transaction(connection, read_only=True):
        require_safe_predicate(connection, "table 'public.post', where", predicate, POST, COLUMNS)
        found = [row[0] for row in connection.execute(query, parameters)]
    assert found == ACCEPTED[predicate]


@pytest.mark.parametrize("predicate", REFUSED)
def test_anything_else_is_refused_with_the_place_the_text_and_a_way_out(connection: Connection, predicate: str) -> None:
    with transaction(connection, read_only=True):
        with pytest.raises(PredicateRefused) as refusal:
            require_safe_predicate(connection, "table 'public.post', where", predicate, POST, COLUMNS)
        # The transaction goes on, so that other tables are still looked at.
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert refusal.value.message.startswith(f"table 'public.post', where: {predicate!r} ")
    assert REFUSED[predicate] in refusal.value.message
    assert refusal.value.hint.startswith("write one boolean over this table's own columns")


def test_a_table_that_may_not_be_read_is_no_fault_of_the_predicate(connection: Connection) -> None:
    connection.execute("DROP ROLE IF EXISTS predicate_stranger; CREATE ROLE predicate_stranger")
    try:
        with transaction(connection, read_only=True):
            connection.execute("SET LOCAL ROLE predicate_stranger")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                require_safe_predicate(connection, "where", "is_live", POST, COLUMNS)
    finally:
        connection.execute("DROP ROLE predicate_stranger")
