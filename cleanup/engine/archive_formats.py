"""The three forms of an archive's rows, each with its writer and its reader."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, Final, TypeAlias

from cleanup.engine.archive_manifest import ArchiveFormat
from cleanup.engine.archive_parquet import read_parquet, require_parquet, write_parquet
from cleanup.engine.archive_rows import Value
from cleanup.engine.archive_text import read_csv, read_jsonl, write_csv, write_jsonl

Write: TypeAlias = Callable[[BinaryIO, Iterable[Sequence[Value]]], None]
Read: TypeAlias = Callable[[BinaryIO], Iterator[tuple[Value, ...]]]

FILE_NAMES: Final = frozenset(one.file_name for one in ArchiveFormat)

_FORMS: Final[dict[ArchiveFormat, tuple[Write, Read]]] = {
    ArchiveFormat.JSONL: (write_jsonl, read_jsonl),
    ArchiveFormat.CSV: (write_csv, read_csv),
    ArchiveFormat.PARQUET: (write_parquet, read_parquet),
}


def writer_of(archive_format: ArchiveFormat) -> Write:
    """What writes rows in that form; raise LibraryMissing where it can not."""
    if archive_format is ArchiveFormat.PARQUET:
        require_parquet()
    return _FORMS[archive_format][0]


def reader_of(archive_format: ArchiveFormat) -> Read:
    """What reads rows in that form; raise LibraryMissing where it can not."""
    if archive_format is ArchiveFormat.PARQUET:
        require_parquet()
    return _FORMS[archive_format][1]
