"""Archived rows as Parquet: the only file that meets pyarrow, and only where somebody asks for that format."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final

from cleanup.engine.archive_rows import COLUMNS, Kind, RowMalformed, Value
from cleanup.errors import LibraryMissing

if TYPE_CHECKING:
    import pyarrow as pa

# So many rows are held in memory at once, and make one row group.
_GROUP_ROWS: Final = 10_000


def require_parquet() -> None:
    """Raise LibraryMissing where pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401, PLC0415 - large, and only this format needs it
    except ImportError:
        raise LibraryMissing(
            "Parquet needs pyarrow, which is not installed",
            hint="install post-link-cleanup[parquet], or take --format jsonl or csv.",
        ) from None


def write_parquet(file: BinaryIO, rows: Iterable[Sequence[Value]]) -> None:
    """The columns with their types, in row groups."""
    require_parquet()
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    schema = _schema(pa)
    remaining = iter(rows)
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(islice(remaining, _GROUP_ROWS)):
            arrays = [
                pa.array(_stored(column), type=field.type)
                for column, field in zip(zip(*group, strict=True), schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def read_parquet(file: BinaryIO) -> Iterator[tuple[Value, ...]]:
    """The rows of `write_parquet`; raise RowMalformed where it did not write them."""
    require_parquet()
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        source = pq.ParquetFile(file, pre_buffer=False)
        if not source.schema_arrow.equals(_schema(pa)):
            raise RowMalformed("its columns are not those of a log")
        for group in source.iter_batches(batch_size=_GROUP_ROWS, use_threads=False):
            for values in zip(*(column.to_pylist() for column in group.columns), strict=True):
                yield tuple(_read(value) for value in values)
    except (pa.ArrowException, OSError):
        raise RowMalformed("it is no Parquet file") from None


def _schema(arrow: "pa") -> "pa.Schema":
    types = {
        Kind.NUMBER: arrow.int64(),
        Kind.TEXT: arrow.string(),
        Kind.TEXTS: arrow.list_(arrow.field("element", arrow.string(), nullable=False)),
        Kind.BYTES: arrow.binary(),
        Kind.INSTANT: arrow.timestamp("us", tz="UTC"),
    }
    return arrow.schema([arrow.field(one.name, types[one.kind], nullable=one.optional) for one in COLUMNS])


def _stored(values: Sequence[Value]) -> list[object]:
    return [list(value) if isinstance(value, tuple) else value for value in values]


def _read(value: object) -> Value:
    if isinstance(value, list):
        return tuple(str(part) for part in value)
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if value is None or isinstance(value, int | str | bytes):
        return value
    raise RowMalformed(f"a value is {type(value).__name__}")
