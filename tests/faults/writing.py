"""Authors who write while the job runs: what each of them committed last, and how long each statement took."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.faults.jobs import Connection, Site

LINK: Final = "https://item.taobao.com/item.htm?id=77"
REKEYED: Final = 10_000_000
INSERTED: Final = 20_000_000
_MOVES_BEFORE: Final = "2021-06-01"

Identity = tuple[str, int]


@dataclass(slots=True)
class Author:
    """One author with rows of its own: those whose number leaves its remainder.

    `texts` has what its last commit left in each row that it has touched; None where the row is gone.
    """

    site: Site
    remainder: int
    authors: int
    rows: int
    lot: Random
    stop: threading.Event
    texts: dict[Identity, str | None] = field(default_factory=dict)
    slowest_ms: float = 0.0
    statements: int = 0
    failure: BaseException | None = None
    did: dict[str, int] = field(default_factory=dict)

    def work(self) -> None:
        """Write until told to stop. An error of any statement ends the author, and the test."""
        acts: list[tuple[str, Callable[[Connection], None]]] = [
            ("rewrites", self._rewrites),
            ("appends", self._appends),
            ("thinks", self._thinks),
            ("inserts", self._inserts),
            ("deletes", self._deletes),
            ("re-keys", self._rekeys),
            ("moves", self._moves),
        ]
        try:
            with self.site.connect() as connection:
                while not self.stop.is_set():
                    name, act = self.lot.choices(acts, weights=(6, 6, 3, 2, 1, 1, 2))[0]
                    act(connection)
                    self.did[name] = self.did.get(name, 0) + 1
        except BaseException as error:
            self.failure = error

    def _timed(self, connection: Connection, query: str, *values: object) -> str | None:
        begun = time.monotonic()
        found = connection.execute(query.encode(), values)
        self.slowest_ms = max(self.slowest_ms, (time.monotonic() - begun) * 1000)
        self.statements += 1
        row = found.fetchone() if found.description else None
        return None if row is None else str(row[0])

    def _pick(self) -> tuple[str, str, int]:
        table = self.lot.choice(("note", "note_archive", "comment"))
        number = self.lot.randrange(self.rows // self.authors) * self.authors + self.remainder
        return table, "note_id" if table == "comment" else "id", max(number, self.remainder)

    def _note(self, table: str, number: int, text: str | None) -> None:
        # An update that met no row changed nothing, and says nothing new of it.
        if text is not None:
            self.texts[table, number] = text

    def _words(self) -> str:
        words = f"作者{self.remainder} 第{self.statements}次改"
        return f"{words} {LINK}{self.statements} 完" if self.lot.random() < 0.5 else words

    def _rewrites(self, connection: Connection) -> None:
        table, key, number = self._pick()
        query = f"UPDATE {table} SET body = %s WHERE {key} = %s RETURNING body"
        self._note(table, number, self._timed(connection, query, self._words(), number))

    def _appends(self, connection: Connection) -> None:
        table, key, number = self._pick()
        query = f"UPDATE {table} SET body = body || %s WHERE {key} = %s RETURNING body"
        self._note(table, number, self._timed(connection, query, f" 续{self.statements}", number))

    def _thinks(self, connection: Connection) -> None:
        """Takes the row, thinks, writes what it read with a word more, and is slow to commit."""
        table, key, number = self._pick()
        with connection.transaction():
            query = f"SELECT body FROM {table} WHERE {key} = %s FOR UPDATE"
            text = self._timed(connection, query, number)
            connection.execute("SELECT pg_sleep(0.01)")
            query = f"UPDATE {table} SET body = %s WHERE {key} = %s RETURNING body"
            written = self._timed(connection, query, f"{text} 想{self.statements}", number)
            connection.execute("SELECT pg_sleep(0.01)")
        self._note(table, number, written)

    def _inserts(self, connection: Connection) -> None:
        number = (INSERTED + self.statements) * self.authors + self.remainder
        text = self._timed(
            connection, "INSERT INTO note VALUES (%s, 1, '2021-01-01', false, '新', %s) RETURNING body",
            number, f"补发旧文 {LINK}{number}",
        )  # fmt: skip
        self._note("note", number, text)

    def _deletes(self, connection: Connection) -> None:
        table, key, number = self._pick()
        query = f"DELETE FROM {table} WHERE {key} = %s RETURNING body"
        if self._timed(connection, query, number) is not None:
            self.texts[table, number] = None

    def _rekeys(self, connection: Connection) -> None:
        _, _, number = self._pick()
        text = self._timed(connection, "UPDATE note SET id = id + %s WHERE id = %s RETURNING body", REKEYED, number)
        if text is not None:
            self.texts["note", number] = None
            self.texts["note", number + REKEYED] = text

    def _moves(self, connection: Connection) -> None:
        _, _, number = self._pick()
        query = (
            "UPDATE note_archive SET created_at = created_at + interval '35 days'"
            " WHERE id = %s AND created_at < %s RETURNING body"
        )
        self._note("note_archive", number, self._timed(connection, query, number, _MOVES_BEFORE))


@dataclass(slots=True)
class Newsroom:
    """Several authors at once, and somebody who watches whom they wait for."""

    site: Site
    rows: int
    lot: Random
    count: int = 4
    authors: list[Author] = field(default_factory=list)
    longest_wait_ms: float = 0.0
    waits_seen: int = 0
    _threads: list[threading.Thread] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Newsroom":
        for remainder in range(self.count):
            lot = Random(self.lot.random())
            self.authors.append(Author(self.site, remainder, self.count, self.rows, lot, self._stop))
        self._threads = [threading.Thread(target=author.work) for author in self.authors]
        self._threads.append(threading.Thread(target=self._watch))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def texts(self) -> dict[Identity, str | None]:
        return {identity: text for author in self.authors for identity, text in author.texts.items()}

    def failures(self) -> list[BaseException]:
        return [author.failure for author in self.authors if author.failure is not None]

    def _watch(self) -> None:
        # Authors have rows of their own, so whoever blocks one of them is a lane.
        with self.site.connect() as connection:
            while not self._stop.is_set():
                rows = connection.execute(
                    "SELECT extract(epoch FROM clock_timestamp() - a.query_start)::float8 * 1000"
                    " FROM pg_stat_activity AS a WHERE a.application_name = 'author' AND a.wait_event_type = 'Lock'"
                    " AND EXISTS (SELECT FROM unnest(pg_blocking_pids(a.pid)) AS b(pid)"
                    " JOIN pg_stat_activity AS l ON l.pid = b.pid WHERE l.application_name LIKE 'cleanup %')"
                ).fetchall()
                self.waits_seen += len(rows)
                self.longest_wait_ms = max([self.longest_wait_ms, *(float(str(ms)) for (ms,) in rows)])


def bodies(site: Site) -> dict[Identity, str]:
    """Every body by table and number."""
    found = site.rows(
        "SELECT 'note', id, body FROM note UNION ALL SELECT 'note_archive', id, body FROM note_archive"
        " UNION ALL SELECT 'comment', note_id, body FROM comment"
    )
    return {(str(table), int(str(number))): str(text) for table, number, text in found}
