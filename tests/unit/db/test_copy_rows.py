"""Raw rows of a binary COPY: cut from the stream as they are, and decoded to what the server holds."""

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql

from cleanup.db.connection import Connection, open_connection, transaction
from cleanup.db.copy_rows import Piece, copy_pieces, decode_row
from cleanup.db.targets import Scope
from cleanup.demo.server import Server


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[Connection]:
    """Any database will do: the rows are made up."""
    opened = open_connection(server.dsn(), "copy rows")
    yield opened
    opened.close()


def scan(connection: Connection, values: str) -> list[bytes]:
    """The raw rows of a scan with that VALUES list: scope, created_at, author, two key columns, two texts."""
    query = sql.SQL("COPY (SELECT * FROM (VALUES {}) AS v) TO STDOUT (FORMAT BINARY)").format(sql.SQL(values))
    with transaction(connection, read_only=True):
        return rows_of(list(copy_pieces(connection, query, 1 << 20)))


def rows_of(pieces: list[Piece]) -> list[bytes]:
    """Every raw row."""
    return [piece.row(place) for piece in pieces for place in range(len(piece.ends))]


def test_a_row_comes_back_as_it_was_written(connection: Connection) -> None:
    (block,) = scan(
        connection, "('e-', timestamptz '2020-05-01 08:00:00.000001+08', '7', 'a', '', '桂花\n🌿', NULL::text)"
    )
    row = decode_row(block, 2)
    assert (row.scope, row.texts) == (Scope.EXEMPT, ("桂花\n🌿", None))
    assert (row.created_at, row.author, row.key) == (datetime(2020, 5, 1, 0, 0, 0, 1, UTC), "7", ("a", ""))


def test_a_text_that_nothing_was_hit_in_is_left_out(connection: Connection) -> None:
    (block,) = scan(connection, "('h-', NULL::timestamptz, 'author', '1', 'x', 'first', '', 'third')")
    first, third = block.index(b"first"), block.index(b"third")
    behind = {"first": first + 5, "third": third + 5}
    assert decode_row(block, 2, [behind["first"]]).texts == ("first", None, None)
    assert decode_row(block, 2, [first + 1, behind["third"]]).texts == ("first", None, "third")
    # What is hit in the author, or in the key, is no text.
    assert decode_row(block, 2, [block.index(b"author") + 3]).texts == (None, None, None)


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
    (block,) = scan(connection, f"('h-', {written}, NULL::text, '1', 'x', 'text')")
    row = decode_row(block, 2)
    assert (row.created_at, row.author, row.texts) == (read, None, ("text",))


def test_no_row_no_piece_and_many_rows_in_pieces(connection: Connection) -> None:
    with transaction(connection, read_only=True):
        none = sql.SQL("COPY (SELECT 'h-', 1 WHERE false) TO STDOUT (FORMAT BINARY)").format()
        assert list(copy_pieces(connection, none, 100)) == []
        many = sql.SQL(
            "COPY (SELECT 'h-l', NULL::timestamptz, NULL::text, n::text, repeat('好', n)"
            " FROM generate_series(0, 3000) AS n) TO STDOUT (FORMAT BINARY)"
        ).format()
        pieces = list(copy_pieces(connection, many, 100_000))
    assert [len(piece.buffer) for piece in pieces[:-1]] == [piece.ends[-1] for piece in pieces[:-1]]
    assert all(100_000 <= len(piece.buffer) < 120_000 for piece in pieces[:-1])
    assert all(bytes(piece.letters) == b"h-l" * len(piece.ends) for piece in pieces)
    rows = [decode_row(row, 1) for row in rows_of(pieces)]
    assert [row.key for row in rows] == [(str(number),) for number in range(3001)]
    assert all(row.texts == ("好" * number,) for number, row in enumerate(rows))


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
