"""A proxy between the job and the server that knows a COMMIT when it sees one, and can cut the connection there."""

import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg

from cleanup.demo.server import PORT
from tests.plugins.wire import application_of, messages, queries_of, statement_of

_COMMIT: Final = re.compile(rb"\s*(?:/\*.*?\*/\s*)?COMMIT\b", re.IGNORECASE)
_BEGIN: Final = re.compile(rb"\s*(?:/\*.*?\*/\s*)?BEGIN\b", re.IGNORECASE)


class Moment(Enum):
    """Where a connection is cut, seen from its COMMIT."""

    BEFORE = "before COMMIT reaches the server"
    UNHEARD = "after the server has committed, before its answer is heard"
    ABANDONED = "when COMMIT has been sent, whatever comes of it"
    AFTER = "after the answer"


@dataclass(frozen=True, slots=True)
class Commit:
    """A COMMIT on its way: who sends it, and the named queries of its transaction."""

    application: str
    queries: frozenset[str]


@dataclass(slots=True)
class Cut:
    """A connection that was cut at a COMMIT; `committed` is what the server answered, None where it did not."""

    commit: Commit
    moment: Moment
    committed: bool | None = None


Decide = Callable[[Commit], Moment | None]


def let_through(_: Commit) -> None:
    """Cut at no COMMIT: a proxy that only counts."""


class Proxy:
    """Listens on the loopback for as long as the `with` lasts, and asks `decide` about every COMMIT.

    Counts by the application names of its connections: `round_trips`, how often the server was waited for, and
    `statements`, how often each named query was sent.
    """

    def __init__(self, server_dsn: str, decide: Decide) -> None:
        self._server = Path(str(psycopg.conninfo.conninfo_to_dict(server_dsn)["host"])) / f".s.PGSQL.{PORT}"
        self._decide = decide
        self._deciding = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._links: list[_Link] = []
        self._is_down = False
        port = self._listener.getsockname()[1]
        self.cuts: list[Cut] = []
        self.refused = 0
        self.round_trips: Counter[str] = Counter()
        self.statements: dict[str, Counter[str]] = {}
        self.dsn = psycopg.conninfo.make_conninfo(
            server_dsn, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"
        )

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Else the thread that accepts would not hear of it.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        self.cut_all()
        for link in self._links:
            link.join()

    def cut_all(self) -> int:
        """Cut every connection there is; return how many."""
        return sum(link.cut() for link in list(self._links))

    def take_down(self) -> None:
        """Cut every connection and take no new one, as a network does that is gone."""
        self._is_down = True
        self.cut_all()

    def bring_up(self) -> None:
        """Take connections again."""
        self._is_down = False

    def decide(self, commit: Commit) -> Cut | None:
        """Ask what is to become of a COMMIT, one at a time."""
        with self._deciding:
            moment = self._decide(commit)
            if moment is None:
                return None
            cut = Cut(commit, moment)
            self.cuts.append(cut)
            return cut

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_down:
                self.refused += 1
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self._server))
            except OSError:
                # The server is down; so are we, then.
                client.close()
                server.close()
                continue
            link = _Link(self, client, server)
            self._links.append(link)
            link.start()


@dataclass(slots=True)
class _Link:
    """One connection through the proxy, a thread for each direction."""

    proxy: Proxy
    client: socket.socket
    server: socket.socket
    pending: Cut | None = None
    application: str = ""
    is_open: bool = True
    _closing: threading.Lock = field(default_factory=threading.Lock)
    _pumps: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for pump in (self._to_server, self._to_client):
            self._pumps.append(threading.Thread(target=self._until_closed, args=(pump,), daemon=True))
        for thread in self._pumps:
            thread.start()

    def join(self) -> None:
        """Wait for both directions of a link that is cut, and give its sockets back."""
        for thread in self._pumps:
            thread.join()
        self.client.close()
        self.server.close()

    def cut(self) -> bool:
        """Close both ends; whether they were open."""
        with self._closing:
            was_open, self.is_open = self.is_open, False
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        return was_open

    def _until_closed(self, pump: Callable[[], None]) -> None:
        with suppress(OSError):
            pump()
        self.cut()

    def _to_server(self) -> None:
        queries: set[str] = set()
        for kind, message in messages(self.client, has_startup=True):
            if kind == b"":
                self.application = application_of(message)
            text = statement_of(kind, message)
            named = queries_of(text)
            queries.update(named)
            self.proxy.statements.setdefault(self.application, Counter()).update(named)
            if _BEGIN.match(text):
                queries.clear()
            if _COMMIT.match(text):
                cut = self.proxy.decide(Commit(self.application, frozenset(queries)))
                queries.clear()
                if cut is not None and cut.moment is Moment.BEFORE:
                    return
                # Before it is sent on: the answer comes on the other thread.
                self.pending = cut
            self.server.sendall(message)
            if self.pending is not None and self.pending.moment is Moment.ABANDONED and kind in (b"Q", b"S"):
                return

    def _to_client(self) -> None:
        for kind, message in messages(self.server, has_startup=False):
            # ReadyForQuery: whatever was sent before it has been waited for.
            self.proxy.round_trips[self.application] += kind == b"Z"
            cut = self.pending
            if cut is None or cut.moment is Moment.ABANDONED:
                self.client.sendall(message)
                continue
            if kind == b"E" or (kind == b"C" and message[5:-1] in (b"COMMIT", b"ROLLBACK")):
                cut.committed = message[5:-1] == b"COMMIT"
                if cut.moment is Moment.UNHEARD:
                    return
            if cut.moment is Moment.AFTER:
                self.client.sendall(message)
                if kind == b"Z" and cut.committed is not None:
                    return
