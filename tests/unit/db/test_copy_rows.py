"""Raw rows of a binary COPY: cut from the stream as they are, and decoded to what the server holds."""

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql

from cleanup.db.connection import Connection, open_connection, transaction
from cleanup.db.copy_rows import LINK_LETTER, NULL_LETTER, SCOPE_LETTER, Piece, RowPlace, ScannedRow, copy_pieces
from cleanup.db.targets import Scope
from cleanup.demo.server import Server


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[Connection]:
    """Any database will do: the rows are made up."""
    opened = open_connection(server.dsn(), "copy rows")
    yield opened
    opened.close()


def scan(connection: Connection, values: str, texts: int) -> list[ScannedRow]:
    """The rows of a scan with that VALUES list: scope, so many texts, created_at, author, two key columns."""
    query = sql.SQL("COPY (SELECT * FROM (VALUES {}) AS v) TO STDOUT (FORMAT BINARY)").format(sql.SQL(values))
    with transaction(connection, read_only=True):
        return rows_of(list(copy_pieces(connection, query, 1 << 20)), texts)


def rows_of(pieces: list[Piece], texts: int) -> list[ScannedRow]:
    """Every row."""
    return [piece.row(place, texts) for piece in pieces for place in range(len(piece.ends))]


def texts_of(row: ScannedRow) -> list[str | None]:
    """What stands where the row says that its texts do."""
    return [bounds and row.buffer[bounds[0] : bounds[1]].decode() for bounds in row.texts]


def test_a_row_comes_back_as_it_was_written(connection: Connection) -> None:
    first, second = scan(
        connection,
        "('e--', '桂花\n🌿', NULL::text, timestamptz '2020-05-01 08:00:00.000001+08', '7', 'a', ''),"
        " ('hnl', '', '好', NULL, NULL, '1', '二')",
        texts=2,
    )
    assert (first.scope, texts_of(first)) == (Scope.EXEMPT, ["桂花\n🌿", None])
    assert first.place() == RowPlace(datetime(2020, 5, 1, 0, 0, 0, 1, UTC), "7", ("a", ""))
    assert (second.scope, texts_of(second)) == (Scope.HISTORICAL, ["", "好"])
    assert second.place() == RowPlace(None, None, ("1", "二"))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("NULL::timestamptz", None),
        # The server has judged the scope; Python's calendar has no such day.
        ("timestamptz 'infinity'", None),
        ("timestamptz '-infinity'", None),
        ("timestamptz '294276-12-31'", None),
        ("timestamptz '4713-01-01 BC'", None),
        ("timestamptz '0001-01-01 00:00+00'", datetime(1, 1, 1, tzinfo=UTC)),
        ("timestamptz '9999-12-31 23:59:59.999999+00'", datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)),
    ],
)
def test_instants_beyond_the_calendar_are_none(connection: Connection, written: str, read: datetime | None) -> None:
    (row,) = scan(connection, f"('h--', 'text', {written}, NULL::text, '1', 'x')", texts=1)
    assert row.place() == RowPlace(read, None, ("1", "x"))
    assert texts_of(row) == ["text"]


def test_no_row_no_piece_and_many_rows_in_pieces(connection: Connection) -> None:
    with transaction(connection, read_only=True):
        none = sql.SQL("COPY (SELECT 'h-', 1 WHERE false) TO STDOUT (FORMAT BINARY)").format()
        assert list(copy_pieces(connection, none, 100)) == []
        many = sql.SQL(
            "COPY (SELECT 'h-l', repeat('好', n), NULL::timestamptz, NULL::text, n::text"
            " FROM generate_series(0, 3000) AS n) TO STDOUT (FORMAT BINARY)"
        ).format()
        pieces = list(copy_pieces(connection, many, 100_000))
    assert [len(piece.buffer) for piece in pieces[:-1]] == [piece.ends[-1] for piece in pieces[:-1]]
    assert all(100_000 <= len(piece.buffer) < 120_000 for piece in pieces[:-1])
    for which, letter in ((SCOPE_LETTER, b"h"), (NULL_LETTER, b"-"), (LINK_LETTER, b"l")):
        assert all(piece.letters(which) == letter * len(piece.ends) for piece in pieces)
    rows = rows_of(pieces, texts=1)
    assert [row.place().key for row in rows] == [(str(number),) for number in range(3001)]
    assert all(texts_of(row) == ["好" * number] for number, row in enumerate(rows))


def test_a_scan_that_is_left_half_way_leaves_the_connection_usable(connection: Connection) -> None:
    many = sql.SQL(
        "COPY (SELECT 'h-', n::text FROM generate_series(1, 100000) AS n) TO STDOUT (FORMAT BINARY)"
    ).format()
    with transaction(connection, read_only=True):
        pieces = copy_pieces(connection, many, 1_000)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]  # it is a generator
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_error_behind_the_first_rows_is_the_servers(connection: Connection) -> None:
    many = sql.SQL(
        "COPY (SELECT 'h--', (1 / (90000 - n))::text FROM generate_series(1, 100000) AS n) TO STDOUT (FORMAT BINARY)"
    ).format()
    with pytest.raises(psycopg.errors.DivisionByZero), transaction(connection, read_only=True):
        list(copy_pieces(connection, many, 1_000))
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_no_row_is_lost_wherever_the_packets_end(connection: Connection) -> None:
    """The server sends 8 KiB at a time: so the end of the stream comes by itself here now and then."""
    with transaction(connection, read_only=True):
        for length in 10 * [*range(8_000, 8_200)]:
            query = sql.SQL(
                "COPY (SELECT 'h--', repeat('x', {}), NULL::timestamptz, NULL::text, n::text"
                " FROM generate_series(1, 2) AS n) TO STDOUT (FORMAT BINARY)"
            ).format(sql.Literal(length))
            rows = rows_of(list(copy_pieces(connection, query, 1 << 20)), texts=1)
            assert [row.place().key for row in rows] == [("1",), ("2",)]
