"""Just enough of the wire protocol: whole messages, the text of a statement, and a tap that counts them."""

import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg

from cleanup.demo.server import PORT

_AT_ONCE: Final = 1 << 16
_NAMED: Final = re.compile(rb"cleanup:([a-z_]+\.[a-z_]+)")


def messages(end: socket.socket, *, has_startup: bool) -> Iterator[tuple[bytes, bytes]]:
    """Whole messages with their type; the first one of a client has none."""
    held = b""
    head = 0 if has_startup else 1
    while True:
        while len(held) >= head + 4:
            size = head + struct.unpack_from(">I", held, head)[0]
            if len(held) < size:
                break
            message, held = held[:size], held[size:]
            yield message[:head], message
            head = 1
        received = end.recv(_AT_ONCE)
        if not received:
            return
        held += received


def application_of(startup: bytes) -> str:
    """The application name that a client gives as it connects."""
    words = startup[8:].split(b"\0")
    settings = dict(zip(words[::2], words[1::2], strict=False))
    return settings.get(b"application_name", b"").decode()


def statement_of(kind: bytes, message: bytes) -> bytes:
    """The text of a statement: of a simple query, or of one that is parsed before it is run."""
    if kind == b"Q":
        return message[5:-1]
    if kind == b"P":
        return message[5:].split(b"\0", 2)[1]
    return b""


class WireTap:
    """A proxy that lets everything through and counts it, by the application name of each connection.

    `round_trips`: how often the server was waited for. `statements`: how often each named query was sent.
    """

    def __init__(self, server_dsn: str) -> None:
        self._server = Path(str(psycopg.conninfo.conninfo_to_dict(server_dsn)["host"])) / f".s.PGSQL.{PORT}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._sockets: list[socket.socket] = []
        self.round_trips: Counter[str] = Counter()
        self.statements: dict[str, Counter[str]] = {}
        port = self._listener.getsockname()[1]
        self.dsn = psycopg.conninfo.make_conninfo(
            server_dsn, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"
        )

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in (self._listener, *self._sockets):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in (self._listener, *self._sockets):
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                self._sockets += [client, server]
                link = _TappedLink(self, client, server)
                for pump in (link.to_server, link.to_client):
                    thread = threading.Thread(target=pump, daemon=True)
                    self._threads.append(thread)
                    thread.start()


class _TappedLink:
    """One connection through the tap."""

    def __init__(self, tap: WireTap, client: socket.socket, server: socket.socket) -> None:
        self._tap = tap
        self._client = client
        self._server = server
        self._application = ""

    def to_server(self) -> None:
        with suppress(OSError):
            for kind, message in messages(self._client, has_startup=True):
                if kind == b"":
                    self._application = application_of(message)
                sent = self._tap.statements.setdefault(self._application, Counter())
                sent.update(name.decode() for name in _NAMED.findall(statement_of(kind, message)))
                self._server.sendall(message)
            self._server.shutdown(socket.SHUT_WR)

    def to_client(self) -> None:
        with suppress(OSError):
            for kind, message in messages(self._server, has_startup=False):
                # ReadyForQuery: whatever was sent before it has been waited for.
                self._tap.round_trips[self._application] += kind == b"Z"
                self._client.sendall(message)
            self._client.shutdown(socket.SHUT_WR)
