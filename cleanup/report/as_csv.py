"""A report's tables as CSV files: one a table, in which no cell is a formula and no character hides."""

from collections.abc import Iterable
from pathlib import Path

from cleanup.engine.archive_text import csv_line, guarded
from cleanup.links.explain import visible
from cleanup.report.files import new_file
from cleanup.report.number_tables import NumberTable


def write_csv_tables(tables: Iterable[NumberTable], folder: Path) -> list[Path]:
    """Write every table into the folder, which is made where it is missing; their files."""
    written: list[Path] = []
    for table in tables:
        path = folder / f"{table.name}.csv"
        with new_file(path) as file:
            file.write(csv_line(table.head))
            for row in table.rows:
                file.write(csv_line(cell(value) for value in row))
        written.append(path)
    return written


def cell(value: object) -> str:
    """A value as a cell; numbers as they are, texts guarded, with invisible characters as escapes."""
    if value is None or isinstance(value, int | float):
        return "" if value is None else str(value)
    return visible(guarded(str(value)))
