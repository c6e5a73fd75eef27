"""Just enough of the wire protocol: whole messages, and what they say."""

import re
import socket
import struct
from collections.abc import Iterator
from typing import Final

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


def queries_of(text: bytes) -> list[str]:
    """The named queries of a statement's text."""
    return [name.decode() for name in _NAMED.findall(text)]
