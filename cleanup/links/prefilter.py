"""One pass of Hyperscan over raw bytes that says which rows can hold a link; the only module that knows it."""

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, cast

import hyperscan

from cleanup.links import MATCHER_VERSION
from cleanup.links.prefilter_patterns import BytePattern, CodeFrame, byte_patterns
from cleanup.links.rules import Policy
from cleanup.vocabulary import ColumnFormat

_FLAGS: Final = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_DOTALL
_MAGIC: Final = b"cleanup-prefilter-1\n"
_DIGEST_BYTES: Final = 32
_ALPHANUMERIC: Final = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTERS: Final = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-")
# An underline behind a host can be the end of Markdown's emphasis, and no part of the host.
_LETTERS_AFTER: Final = _LETTERS - {ord("_")}
# Within this distance before a host stand the escapes (\\n, %2F, &nbsp) and the binary framing of a
# row, both of which can end in a letter that is no part of the host.
_LOOK_BACK: Final = 8
_BREAKS: Final = frozenset(b"\\%&;\x00\xff")


class Prefilter:
    """Finds where in a buffer a link can be: never misses one that the finder reports."""

    def __init__(self, database: "hyperscan.Database", patterns: Sequence[BytePattern]) -> None:
        self._database = database
        self._literals = [pattern.literal for pattern in patterns]
        self._frames = {number: _Framed(pattern.frame) for number, pattern in enumerate(patterns) if pattern.frame}

    @classmethod
    def compile(
        cls, policy: Policy, formats: frozenset[ColumnFormat], cache_directory: Path | None = None
    ) -> "Prefilter":
        """Build the patterns of a policy, or load them from the cache, where a damaged file is built anew."""
        patterns = byte_patterns(policy, formats)
        path = cache_directory / _cache_name(patterns) if cache_directory else None
        database = _load(path) if path else None
        if database is None:
            database = _build(patterns)
            if path:
                _store(path, hyperscan.dumpb(database))
        database.scratch = hyperscan.Scratch(database)
        return cls(database, patterns)

    def hits(self, buffer: bytes | bytearray | memoryview) -> Sequence[int]:
        """Byte end offsets, ascending, of everything in the buffer that can be part of a link.

        The buffer is rows of binary COPY joined: UTF-8 texts with length words between them. What
        straddles two rows may be reported too. A row without an offset inside holds no link.
        """
        ends: list[int] = []
        literals, frames = self._literals, self._frames

        def note(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            length = literals[number]
            if length:
                if _stands_alone(buffer, end - length, end):
                    ends.append(end)
            elif number not in frames or frames[number].holds(buffer, end):
                ends.append(end)

        # The stub knows bytes alone; the library takes any buffer without copying it.
        self._database.scan(cast("bytes", buffer), match_event_handler=note)
        return sorted(set(ends))


class _Framed:
    """A closer look at a run of letters and digits, with an expression that is too slow to look for everywhere."""

    def __init__(self, frame: CodeFrame) -> None:
        self._search = re.compile(frame.expression.encode("ascii"), re.IGNORECASE | re.DOTALL).search
        self._before = frame.bytes_before
        self._reach = frame.reach

    def holds(self, buffer: bytes | bytearray | memoryview, end: int) -> bool:
        """Whether a code stands around there; `end` is behind the first byte after the run."""
        start = max(0, end - self._reach)
        head = bytes(buffer[start : end - 1]).rstrip(_ALPHANUMERIC)
        if not head or head[-1] not in self._before:
            return False
        return self._search(buffer, start, end + self._reach) is not None


def _stands_alone(buffer: bytes | bytearray | memoryview, start: int, end: int) -> bool:
    """Whether a host is not merely the middle of a longer label."""
    if end < len(buffer) and buffer[end] in _LETTERS_AFTER and bytes(buffer[end : end + 4]).lower() != b"http":
        return False
    if start == 0 or buffer[start - 1] not in _LETTERS:
        return True
    return not _BREAKS.isdisjoint(bytes(buffer[max(0, start - _LOOK_BACK) : start]))


def _build(patterns: Sequence[BytePattern]) -> "hyperscan.Database":
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    expressions = [pattern.expression.encode("ascii") for pattern in patterns]
    database.compile(expressions=expressions, ids=list(range(len(patterns))), elements=len(patterns), flags=_FLAGS)
    return database


def _cache_name(patterns: Sequence[BytePattern]) -> str:
    # Named by what was compiled and with what: policy, formats and matcher all show in the expressions.
    digest = hashlib.sha256(f"{version('hyperscan')} {MATCHER_VERSION}".encode())
    for pattern in patterns:
        digest.update(f"\n{pattern.literal} {pattern.expression}".encode())
    return f"prefilter-{digest.hexdigest()[:32]}.hsdb"


def _load(path: Path) -> "hyperscan.Database | None":
    try:
        content = path.read_bytes()
    except OSError:
        return None
    serialized = content[len(_MAGIC) + _DIGEST_BYTES :]
    if content != _MAGIC + hashlib.sha256(serialized).digest() + serialized:
        return None
    try:
        return hyperscan.loadb(serialized, hyperscan.HS_MODE_BLOCK)
    except hyperscan.HyperscanError:
        return None


def _store(path: Path, serialized: bytes) -> None:
    """Write the cache beside its place and rename it there, so that no reader sees half a file."""
    content = _MAGIC + hashlib.sha256(serialized).digest() + serialized
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    except OSError:
        # The cache only saves time: where it cannot be written, the next run compiles again.
        return
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
